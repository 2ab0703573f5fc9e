module github.com/quokka-stream/quokka/cdc

go 1.26

require (
	github.com/quokka-stream/quokka/broker v0.1.0
	github.com/quokka-stream/quokka/internal v0.1.0
	github.com/quokka-stream/quokka/schemas v0.1.0
)

replace (
	github.com/quokka-stream/quokka/broker => ../broker
	github.com/quokka-stream/quokka/internal => ../internal
	github.com/quokka-stream/quokka/schemas => ../schemas
)
