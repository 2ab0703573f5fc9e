package broker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// A group goes on where its members have committed, whoever they are.
func Example_consumerGroup() {
	b, end := open(broker.Config{})
	defer end()
	ctx := context.Background()
	producer := connect(b, kgo.DefaultProduceTopic("tasks"))
	defer producer.Close()
	for _, task := range []string{"wash", "dry", "fold"} {
		check(producer.ProduceSync(ctx, kgo.StringRecord(task)).FirstErr())
	}
	for _, member := range []struct {
		name  string
		takes int
	}{{"ann", 2}, {"bob", 1}} {
		client := connect(b, kgo.ConsumerGroup("laundry"), kgo.ConsumeTopics("tasks"), kgo.DisableAutoCommit())
		for n := 0; n < member.takes; {
			records := client.PollRecords(ctx, member.takes-n).Records()
			for _, r := range records {
				fmt.Println(member.name, string(r.Value))
			}
			check(client.CommitRecords(ctx, records...))
			n += len(records)
		}
		client.Close() // it leaves, and the next one need not wait for its session to end
	}
	// Output:
	// ann wash
	// ann dry
	// bob fold
}

// In the protocol of KIP-848 the broker assigns, and members that are not concerned
// by a rebalance go on consuming.
func Example_consumerProtocol() {
	b, end := open(broker.Config{DefaultPartitions: 4, GroupConsumerHeartbeatInterval: 20 * time.Millisecond})
	defer end()
	ctx := context.Background()
	for range 2 {
		member := connect(b, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("news"), kgo.ServerSideBalancer())
		defer member.Close()
	}
	admin := kadm.NewClient(connect(b))
	defer admin.Close()
	for {
		groups, err := admin.DescribeConsumerGroups(ctx, "readers")
		check(err)
		group := groups["readers"]
		if group.State != "Stable" || len(group.Members) < 2 {
			continue // a rebalance takes a few heartbeats
		}
		for i, m := range group.Members {
			n := 0
			for _, partitions := range m.Assignment {
				n += len(partitions)
			}
			fmt.Printf("member %d has %d partitions\n", i+1, n)
		}
		fmt.Println("assigned by", group.AssignorName)
		return
	}
	// Output:
	// member 1 has 2 partitions
	// member 2 has 2 partitions
	// assigned by uniform
}
