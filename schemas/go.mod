module github.com/quokka-stream/quokka/schemas

go 1.26

require github.com/twmb/avro v1.9.0

require github.com/google/go-cmp v0.7.0

replace (
	github.com/quokka-stream/quokka/broker => ../broker
	github.com/quokka-stream/quokka/internal => ../internal
)
