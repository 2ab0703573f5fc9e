package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// framed takes only values in the wire format of schema registries: a zero byte and
// a schema's id come first. It does so where a topic asks for it.
type framed struct{}

func (framed) CheckRecords(_ context.Context, b *broker.RecordBatch) ([]broker.RecordError, error) {
	if b.Config("confluent.value.schema.validation") != "true" {
		return nil, nil
	}
	var bad []broker.RecordError
	for i, r := range b.Records {
		if r.Value != nil && (len(r.Value) < 5 || r.Value[0] != 0) {
			bad = append(bad, broker.RecordError{Index: i, Message: "the value carries no schema id"})
		}
	}
	return bad, nil
}

// A check that refuses records before they get a place in the log.
func ExampleRecordCheck() {
	b, err := broker.Open(broker.Config{InMemory: true, Listen: "127.0.0.1:0", RecordCheck: framed{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = b.Serve() }() // returns with Close
	defer b.Close()

	ctx := context.Background()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	on := "true"
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, map[string]*string{"confluent.value.schema.validation": &on}, "orders"); err != nil {
		fmt.Println(err)
		return
	}
	err = client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("\x00\x00\x00\x00\x01order")}).FirstErr()
	fmt.Println("with a schema id:", err)
	err = client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("order")}).FirstErr()
	fmt.Println("without: INVALID_RECORD is", errors.Is(err, kerr.InvalidRecord))
	// Output:
	// with a schema id: <nil>
	// without: INVALID_RECORD is true
}
