package broker_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/quokka-stream/quokka/broker"
)

// One listener for the program itself, and one where others have to log in: each
// client is told the address of the listener that it came by.
func ExampleListener() {
	b, err := broker.Open(broker.Config{
		InMemory: true,
		Listeners: []broker.Listener{
			{Name: "INTERNAL", Listen: "127.0.0.1:0"},
			{Name: "EXTERNAL", Listen: "127.0.0.1:0", SASL: true},
		},
		Users:      map[string]string{"alice": "wonder"},
		SuperUsers: []string{"User:ANONYMOUS"}, // who comes by INTERNAL
		Settings:   map[string]string{"log.retention.hours": "24", "num.partitions": "3"},
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = b.Serve() }() // returns with Close
	defer b.Close()

	outside := kgo.SeedBrokers(b.ListenerAddr("EXTERNAL"))
	for _, login := range []kgo.Opt{kgo.SASL(scram.Auth{User: "alice", Pass: "wonder"}.AsSha256Mechanism()), kgo.SASL()} {
		client, err := kgo.NewClient(outside, login)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("let in:", client.Ping(context.Background()) == nil)
		client.Close()
	}
	// Output:
	// let in: true
	// let in: false
}
