package broker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// A compacted topic keeps the last record of each key: read from its beginning it is
// a table. A record without a value deletes its key.
func Example_compaction() {
	b, end := open(broker.Config{})
	defer end()
	ctx := context.Background()
	client := connect(b, kgo.DefaultProduceTopic("prices"))
	defer client.Close()
	_, err := kadm.NewClient(client).CreateTopic(ctx, 1, -1, map[string]*string{
		"cleanup.policy":            kadm.StringPtr("compact"),
		"min.cleanable.dirty.ratio": kadm.StringPtr("0.1"),
	}, "prices")
	check(err)
	for _, r := range []*kgo.Record{
		kgo.KeyStringRecord("apple", "3"), kgo.KeyStringRecord("pear", "4"), kgo.KeyStringRecord("apple", "2"),
		{Key: []byte("pear")},
	} {
		check(client.ProduceSync(ctx, r).FirstErr())
	}
	keyless := client.ProduceSync(ctx, kgo.StringRecord("nothing to go by")).FirstErr()
	fmt.Println("a record without a key is refused:", errors.Is(keyless, kerr.InvalidRecord))

	reader := connect(b, kgo.ConsumeTopics("prices"))
	defer reader.Close()
	table := map[string]string{}
	for n := 0; n < 4; {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if table[string(r.Key)] = string(r.Value); r.Value == nil {
				delete(table, string(r.Key))
			}
			n++
		})
	}
	fmt.Println(table)
	// Output:
	// a record without a key is refused: true
	// map[apple:2]
}

// Records can be read again from any time on, as long as retention keeps them.
func Example_replay() {
	b, end := open(broker.Config{})
	defer end()
	ctx := context.Background()
	producer := connect(b, kgo.DefaultProduceTopic("temperatures"))
	defer producer.Close()
	admin := kadm.NewClient(producer)
	_, err := admin.CreateTopic(ctx, 1, -1, map[string]*string{
		"retention.ms": kadm.StringPtr("604800000"), "retention.bytes": kadm.StringPtr("1073741824"), // a week, or a GiB
	}, "temperatures")
	check(err)
	midnight := time.Now().Add(-24 * time.Hour).Truncate(24 * time.Hour) // yesterday's: the future is refused
	for hour := range 4 {
		r := kgo.StringRecord(fmt.Sprintf("%d degrees at %d:00", 10+hour, hour))
		r.Timestamp = midnight.Add(time.Duration(hour) * time.Hour)
		check(producer.ProduceSync(ctx, r).FirstErr())
	}

	from := midnight.Add(90 * time.Minute)
	consumer := connect(b, kgo.ConsumeTopics("temperatures"), kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(from.UnixMilli())))
	defer consumer.Close()
	for n := 0; n < 2; {
		consumer.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			fmt.Println(string(r.Value))
			n++
		})
	}

	// What nobody may read any more is deleted up to an offset.
	offsets := kadm.Offsets{}
	offsets.AddOffset("temperatures", 0, 3, -1)
	deleted, err := admin.DeleteRecords(ctx, offsets)
	check(errors.Join(err, deleted.Error()))
	first, err := admin.ListStartOffsets(ctx, "temperatures")
	check(err)
	at, _ := first.Lookup("temperatures", 0)
	fmt.Println("the log begins at", at.Offset)
	// Output:
	// 12 degrees at 2:00
	// 13 degrees at 3:00
	// the log begins at 3
}

// Topics, settings and quotas are administered by Kafka's own requests, so by any of
// its tools.
func Example_admin() {
	b, end := open(broker.Config{})
	defer end()
	ctx := context.Background()
	admin := kadm.NewClient(connect(b))
	defer admin.Close()
	_, err := admin.CreateTopics(ctx, 3, -1, nil, "orders", "invoices")
	check(err)
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("3600000")}}, "orders")
	check(err)
	topics, err := admin.ListTopics(ctx)
	check(err)
	for _, t := range topics.Sorted() {
		configs, err := admin.DescribeTopicConfigs(ctx, t.Topic)
		check(err)
		config, err := configs.On(t.Topic, nil)
		check(err)
		for _, c := range config.Configs {
			if c.Key == "retention.ms" {
				fmt.Println(t.Topic, len(t.Partitions), "partitions, kept", c.MaybeValue(), "ms,", c.Source)
			}
		}
	}

	user := []kadm.ClientQuotaEntityComponent{{Type: "user", Name: kadm.StringPtr("alice")}}
	_, err = admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{
		{Entity: user, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 1 << 20}}},
	})
	check(err)
	quotas, err := admin.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{{Type: "user", MatchName: kadm.StringPtr("alice")}})
	check(err)
	for _, q := range quotas {
		for _, v := range q.Values {
			fmt.Println("alice:", v.Key, v.Value)
		}
	}
	// Output:
	// invoices 3 partitions, kept 604800000 ms, DEFAULT_CONFIG
	// orders 3 partitions, kept 3600000 ms, DYNAMIC_TOPIC_CONFIG
	// alice: producer_byte_rate 1.048576e+06
}
