package broker_test

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// What is consumed, what is made of it and how far the group has got are one
// transaction: after a failure in the middle it happens again as if for the first
// time, and who reads committed records sees each result once.
func Example_transactions() {
	b, end := open(broker.Config{GroupConsumerHeartbeatInterval: 20 * time.Millisecond})
	defer end()
	ctx := context.Background()
	source := connect(b, kgo.DefaultProduceTopic("numbers"))
	defer source.Close()
	for i := range 5 {
		check(source.ProduceSync(ctx, kgo.StringRecord(strconv.Itoa(i))).FirstErr())
	}

	worker, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(),
		kgo.TransactionalID("squares-1"), kgo.ConsumerGroup("squares"), kgo.ConsumeTopics("numbers"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(err)
	defer worker.Close()
	failed := false
	for done := 0; done < 5; {
		records := worker.PollRecords(ctx, 5-done).Records()
		check(worker.Begin())
		for _, r := range records {
			n, err := strconv.Atoi(string(r.Value))
			check(err)
			check(worker.ProduceSync(ctx, &kgo.Record{Topic: "squared", Value: []byte(strconv.Itoa(n * n))}).FirstErr())
		}
		ok := failed // something goes wrong at the first attempt
		failed = true
		committed, err := worker.End(ctx, kgo.TransactionEndTry(ok))
		check(err)
		if committed {
			done += len(records)
		}
	}

	reader := connect(b, kgo.ConsumeTopics("squared"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer reader.Close()
	for n := 0; n < 5; {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			fmt.Print(string(r.Value), " ")
			n++
		})
	}
	// Output: 0 1 4 9 16
}
