module github.com/quokka-stream/quokka/deploy

go 1.26.0

require (
	github.com/emersion/go-smtp v0.25.1
	github.com/google/go-cmp v0.7.0
	github.com/google/uuid v1.6.0
	github.com/jackc/pgx/v5 v5.12.0
	github.com/twmb/franz-go v1.22.2
	github.com/twmb/franz-go/pkg/kadm v1.19.0
	go.opentelemetry.io/otel v1.47.0
	go.opentelemetry.io/otel/sdk v1.47.0
	go.opentelemetry.io/otel/trace v1.47.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sync v0.24.0
	golang.org/x/term v0.47.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/golang/snappy v1.0.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/linkedin/goavro/v2 v2.14.1 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/riferrei/srclient v0.7.4 // indirect
	github.com/santhosh-tekuri/jsonschema/v5 v5.0.0 // indirect
	github.com/twmb/avro v1.9.0 // indirect
	github.com/twmb/franz-go/pkg/kmsg v1.15.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

require (
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	github.com/quokka-stream/quokka/broker v0.1.0
	github.com/quokka-stream/quokka/cdc v0.1.0
	github.com/quokka-stream/quokka/internal v0.1.0
	github.com/quokka-stream/quokka/outbox v0.1.0
	github.com/quokka-stream/quokka/schemas v0.1.0
	github.com/quokka-stream/quokka/services v0.1.0
)

replace (
	github.com/quokka-stream/quokka/broker => ../broker
	github.com/quokka-stream/quokka/cdc => ../cdc
	github.com/quokka-stream/quokka/internal => ../internal
	github.com/quokka-stream/quokka/outbox => ../outbox
	github.com/quokka-stream/quokka/schemas => ../schemas
	github.com/quokka-stream/quokka/services => ../services
)
