package outbox_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/outbox"
)

// A transfer that says what it did: the event is published if and only if the
// transfer commits.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	databaseURL, brokers, done := exampleServers() // yours come from your configuration
	defer done()

	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	if err := outbox.Migrate(ctx, pool); err != nil {
		panic(err)
	}
	_, err = pool.Exec(ctx, "CREATE TABLE accounts (id text PRIMARY KEY, cents bigint NOT NULL); INSERT INTO accounts VALUES ('a-1', 500)")
	if err != nil {
		panic(err)
	}

	relay, err := outbox.NewRelay(outbox.Config{
		DatabaseURL: databaseURL,
		Brokers:     brokers,
		ClientOpts:  []kgo.Opt{kgo.AllowAutoTopicCreation()},
	})
	if err != nil {
		panic(err)
	}
	relayCtx, stop := context.WithCancel(ctx)
	stopped := make(chan error)
	go func() { stopped <- relay.Run(relayCtx) }()

	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// The UPDATE locks the account's row until commit, so the events of this
		// account are written in the order of its changes.
		var cents int64
		err := tx.QueryRow(ctx, "UPDATE accounts SET cents = cents - 120 WHERE id = 'a-1' RETURNING cents").Scan(&cents)
		if err != nil {
			return err
		}
		return outbox.Write(ctx, tx, outbox.Event{
			Topic: exampleTopic,
			Key:   []byte("a-1"),
			Value: fmt.Appendf(nil, `{"balance": %d}`, cents),
		})
	})
	if err != nil {
		panic(err)
	}
	relay.Hint() // saves the relay's next poll a few milliseconds

	consumer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(exampleTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		panic(err)
	}
	defer consumer.Close()
	for _, r := range consumer.PollRecords(ctx, 1).Records() {
		fmt.Printf("%s: %s\n", r.Key, r.Value)
	}
	stop()
	if err := <-stopped; err != nil {
		panic(err)
	}
	// Output: a-1: {"balance": 380}
}
