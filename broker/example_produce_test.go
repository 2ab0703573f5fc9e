package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// Records of one key are in one partition, and there in the order they were sent.
func Example_keyedOrder() {
	b, end := open(broker.Config{DefaultPartitions: 6})
	defer end()
	ctx := context.Background()
	producer := connect(b, kgo.DefaultProduceTopic("orders"))
	defer producer.Close()
	for _, step := range []string{"placed", "paid", "sent"} {
		for _, customer := range []string{"ann", "bob", "cleo"} {
			producer.Produce(ctx, &kgo.Record{Key: []byte(customer), Value: []byte(step)}, nil)
		}
	}
	check(producer.Flush(ctx))

	consumer := connect(b, kgo.ConsumeTopics("orders"))
	defer consumer.Close()
	seen := map[string][]string{}
	for n := 0; n < 9; {
		consumer.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			seen[string(r.Key)] = append(seen[string(r.Key)], string(r.Value))
			n++
		})
	}
	fmt.Println(seen)
	// Output: map[ann:[placed paid sent] bob:[placed paid sent] cleo:[placed paid sent]]
}

// losesAnswers is a network on which an answer is lost, with its connection,
// whenever lose is set.
type losesAnswers struct {
	net.Listener
	lose atomic.Bool
}

func (l *losesAnswers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lossyConn{c, l}, nil
}

type lossyConn struct {
	net.Conn
	network *losesAnswers
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if c.network.lose.Swap(false) {
		return 0, errors.Join(errors.New("the network is gone"), c.Close())
	}
	return c.Conn.Write(p)
}

// A producer that did not hear its answer sends the batch again; the broker knows
// it by its sequence, and it is in the log once.
func Example_idempotence() {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	check(err)
	network := &losesAnswers{Listener: ln}
	duplicates := make(chan bool, 10)
	b, end := open(broker.Config{Listener: network, Trace: func(t broker.ProduceTrace) { duplicates <- t.Duplicate }})
	defer end()
	ctx := context.Background()
	client := connect(b, kgo.DefaultProduceTopic("payments")) // idempotent unless told otherwise
	defer client.Close()
	check(client.ProduceSync(ctx, kgo.StringRecord("one")).FirstErr())
	network.lose.Store(true)
	check(client.ProduceSync(ctx, kgo.StringRecord("two")).FirstErr())

	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "payments")
	check(err)
	last, _ := ends.Lookup("payments", 0)
	fmt.Println("sent", 2, "records, stored", last.Offset)
	fmt.Println("came again:", <-duplicates, <-duplicates, <-duplicates)
	// Output:
	// sent 2 records, stored 2
	// came again: false false true
}

// A flush policy says when an acknowledged record is on the disk.
func ExampleFlushPolicy() {
	for _, policy := range []broker.FlushPolicy{
		broker.FlushGroup,    // synced before it is acknowledged
		broker.FlushInterval, // synced within FlushEvery
		broker.FlushOS,       // left to the operating system, for a minute at most
	} {
		dir, err := os.MkdirTemp("", "broker-")
		check(err)
		b, end := open(broker.Config{DataDir: dir, Flush: policy})
		client := connect(b, kgo.DefaultProduceTopic("t"))
		check(client.ProduceSync(context.Background(), kgo.StringRecord("kept")).FirstErr())
		client.Close()
		end() // whatever the policy, a broker that is closed has everything on the disk

		b, end = open(broker.Config{DataDir: dir})
		consumer := connect(b, kgo.ConsumeTopics("t"))
		consumer.PollFetches(context.Background()).EachRecord(func(r *kgo.Record) {
			fmt.Printf("%s: %s\n", policy, r.Value)
		})
		consumer.Close()
		end()
		check(os.RemoveAll(dir))
	}
	// Output:
	// group: kept
	// interval: kept
	// os: kept
}
