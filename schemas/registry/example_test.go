package registry_test

import (
	"context"
	"log"

	"github.com/quokka-stream/quokka/schemas/registry"
)

// A registry in a program of its own: point clients at http://127.0.0.1:8081.
func Example() {
	s, err := registry.Open(context.Background(), registry.Config{
		Brokers: []string{"127.0.0.1:9092"},
		Addr:    "127.0.0.1:8081",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Serve(); err != nil {
		log.Fatal(err)
	}
}
