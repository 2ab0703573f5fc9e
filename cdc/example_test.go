package cdc_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/quokka-stream/quokka/cdc"
)

// Stream two databases of one server until Ctrl-C. Their tables arrive in topics
// such as cdc.order.public.customers.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	relay, err := cdc.New(cdc.Config{
		PostgresURL: "postgres://replicator:secret@127.0.0.1:5432/",
		Sources: []cdc.Source{
			{Name: "order", Database: "quokka_order"},
			{Name: "inventory", Database: "quokka_inventory"},
		},
		Brokers:     []string{"127.0.0.1:9092"},
		RegistryURL: "http://127.0.0.1:8081",
		Logger:      slog.Default(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := relay.Run(ctx); err != nil {
		fmt.Println(err)
	}
}
