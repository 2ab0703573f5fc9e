module github.com/quokka-stream/quokka/broker

go 1.26
