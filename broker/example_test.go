package broker_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// A broker in the program's own process, that any Kafka client can talk to.
func Example() {
	b, err := broker.Open(broker.Config{InMemory: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = b.Serve() }() // returns with Close
	defer b.Close()

	ctx := context.Background()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics("greetings"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "greetings", Value: []byte("hello")}).FirstErr(); err != nil {
		fmt.Println(err)
		return
	}
	client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
		fmt.Printf("%s-%d at %d: %s\n", r.Topic, r.Partition, r.Offset, r.Value)
	})
	// Output: greetings-0 at 0: hello
}
