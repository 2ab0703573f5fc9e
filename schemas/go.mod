module github.com/quokka-stream/quokka/schemas

go 1.26.0

require github.com/twmb/avro v1.9.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/riferrei/srclient v0.7.4
	go.uber.org/goleak v1.3.0
	golang.org/x/sync v0.24.0
)

require (
	github.com/golang/snappy v1.0.0 // indirect
	github.com/linkedin/goavro/v2 v2.14.1 // indirect
	github.com/santhosh-tekuri/jsonschema/v5 v5.0.0 // indirect
)

replace (
	github.com/quokka-stream/quokka/broker => ../broker
	github.com/quokka-stream/quokka/internal => ../internal
)
