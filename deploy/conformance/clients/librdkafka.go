//go:build ignore

// confluent-kafka-go, which has librdkafka inside, against one broker. It is
// built in a module of its own; see package conformance. Prints a line for each
// check, "ok NAME" or "failed NAME: WHY".
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

const n = 200

var broker = os.Args[1]

func check(name string, f func() error) {
	if err := f(); err != nil {
		fmt.Printf("failed %s: %v\n", name, err)
		return
	}
	fmt.Println("ok", name)
}

func main() {
	_, version := kafka.LibraryVersion()
	fmt.Println("version", version)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		check("produce and consume, "+codec, func() error {
			return round("rd-"+codec, kafka.ConfigMap{"compression.type": codec, "enable.idempotence": true}, "classic")
		})
	}
	check("a group in the consumer protocol", func() error { return round("rd-848", kafka.ConfigMap{}, "consumer") })
	check("transactions", func() error { return transactions("rd-txn") })
}

func producer(more kafka.ConfigMap) (*kafka.Producer, error) {
	more["bootstrap.servers"], more["go.delivery.reports"] = broker, false
	return kafka.NewProducer(&more)
}

func send(p *kafka.Producer, topic string) error {
	for i := range n {
		if err := p.Produce(&kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny}, Key: []byte("k"), Value: fmt.Appendf(nil, "value %d", i)}, nil); err != nil {
			return err
		}
	}
	if left := p.Flush(20000); left > 0 {
		return fmt.Errorf("%d records were not sent", left)
	}
	return nil
}

func round(topic string, cfg kafka.ConfigMap, protocol string) error {
	p, err := producer(cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := send(p, topic); err != nil {
		return err
	}
	return consume(topic, protocol)
}

func consume(topic, protocol string) error {
	c, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": broker, "group.id": "g-" + topic, "group.protocol": protocol, "auto.offset.reset": "earliest"})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Subscribe(topic, nil); err != nil {
		return err
	}
	for got, end := 0, time.Now().Add(40*time.Second); got < n; {
		if time.Now().After(end) {
			return fmt.Errorf("consumed %d of %d", got, n)
		}
		m, err := c.ReadMessage(500 * time.Millisecond)
		if err != nil {
			continue // a timeout, or a topic that is not known yet
		}
		if want := fmt.Sprintf("value %d", got); string(m.Value) != want {
			return fmt.Errorf("record %d is %q", got, m.Value)
		}
		got++
	}
	_, err = c.Commit()
	return err
}

func transactions(topic string) error {
	p, err := producer(kafka.ConfigMap{"transactional.id": topic})
	if err != nil {
		return err
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.InitTransactions(ctx); err != nil {
		return err
	}
	for _, end := range []func(context.Context) error{p.AbortTransaction, p.CommitTransaction} {
		if err := p.BeginTransaction(); err != nil {
			return err
		}
		if err := send(p, topic); err != nil {
			return err
		}
		if err := end(ctx); err != nil {
			return err
		}
	}
	return consume(topic, "classic")
}
