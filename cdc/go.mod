module github.com/quokka-stream/quokka/cdc

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/jackc/pgx/v5 v5.12.0
	github.com/quokka-stream/quokka/internal v0.1.0
	github.com/quokka-stream/quokka/schemas v0.1.0
)

require (
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/twmb/avro v1.9.0 // indirect
	golang.org/x/text v0.41.0 // indirect
)

replace (
	github.com/quokka-stream/quokka/broker => ../broker
	github.com/quokka-stream/quokka/internal => ../internal
	github.com/quokka-stream/quokka/schemas => ../schemas
)
