module github.com/quokka-stream/quokka/deploy

go 1.26.0

require (
	github.com/emersion/go-smtp v0.25.1
	go.uber.org/goleak v1.3.0
)

require (
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	github.com/quokka-stream/quokka/broker v0.1.0
	github.com/quokka-stream/quokka/cdc v0.1.0
	github.com/quokka-stream/quokka/internal v0.1.0
	github.com/quokka-stream/quokka/outbox v0.1.0
	github.com/quokka-stream/quokka/schemas v0.1.0
	github.com/quokka-stream/quokka/services v0.1.0
	github.com/stretchr/testify v1.12.1 // indirect
)

replace (
	github.com/quokka-stream/quokka/broker => ../broker
	github.com/quokka-stream/quokka/cdc => ../cdc
	github.com/quokka-stream/quokka/internal => ../internal
	github.com/quokka-stream/quokka/outbox => ../outbox
	github.com/quokka-stream/quokka/schemas => ../schemas
	github.com/quokka-stream/quokka/services => ../services
)
