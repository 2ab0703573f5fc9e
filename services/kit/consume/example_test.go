package consume_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/event"
)

// A service counts the orders of each customer, each order once.
func ExampleOn() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	pool, err := pgxpool.New(ctx, os.Getenv("QUOKKA_POSTGRES_URL")) // migrated by postgres.Migrate
	if err != nil {
		panic(err)
	}
	codec, err := serde.New("http://127.0.0.1:8081")
	if err != nil {
		panic(err)
	}
	c, err := consume.New(consume.Config{
		Group: "counter", Brokers: []string{"127.0.0.1:9092"},
		Pool: pool, Decode: event.Decode(codec),
	})
	if err != nil {
		panic(err)
	}
	consume.On(c, schemas.TopicOrders, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderPlaced) error {
		// Effect and inbox row are committed together, or not at all.
		_, err := tx.Exec(ctx, `insert into counts (customer_id, orders) values ($1, 1)
			on conflict (customer_id) do update set orders = counts.orders + 1`, e.CustomerID)
		m.OnCommit(func() { fmt.Println("counted", e.OrderID) })
		return err
	})
	if err := c.Run(ctx); err != nil {
		panic(err)
	}
}

// A handler says by its error what is to become of the record.
func ExampleRetry() {
	errNotThere, errMalformed := errors.New("customer is not known yet"), errors.New("no such currency")
	handle := func(known, valid bool) error {
		switch {
		case !known:
			return consume.Retry(errNotThere, time.Second) // again in a second; this key waits
		case !valid:
			return consume.Reject(errMalformed) // to the dead-letter topic
		}
		return nil // acknowledged
	}
	fmt.Println(handle(false, true))
	fmt.Println(consume.Rejected(handle(true, false)))
	// Output:
	// customer is not known yet
	// true
}

// A service without database keeps an index; each batch may come again.
func ExampleConsumer_OnBatch() {
	c, err := consume.New(consume.Config{Group: "index", Brokers: []string{"127.0.0.1:9092"}})
	if err != nil {
		panic(err)
	}
	c.OnBatch(schemas.TopicLogs, 500, func(_ context.Context, batch []*consume.Message) error {
		for _, m := range batch {
			fmt.Println(m.ID) // topic/partition/offset: the same when it comes again
		}
		return nil
	})
	fmt.Println(c.Topics())
	// Output: [logs.v1]
}
