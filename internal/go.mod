module github.com/quokka-stream/quokka/internal

go 1.26
