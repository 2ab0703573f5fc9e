package broker_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// In memory a broker starts in a few milliseconds and leaves nothing behind: each
// test may have its own. In tests with a testing.T package brokertest is shorter.
func ExampleConfig_inMemory() {
	b, end := open(broker.Config{InMemory: true})
	client := connect(b, kgo.DefaultProduceTopic("t"))
	fmt.Println(client.ProduceSync(context.Background(), kgo.StringRecord("hello")).FirstErr())
	client.Close()
	end()
	// Output: <nil>
}

// The broker serves on a listener that it is given: a test's network, a socket that
// was inherited, a listener with limits of its own.
func ExampleConfig_listener() {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	check(err)
	b, end := open(broker.Config{Listener: ln})
	defer end()
	fmt.Println(b.Addr() == ln.Addr().String())
	// Output: true
}

// Every setting of a broker of Apache Kafka is accepted by its name.
func ExampleConfig_settings() {
	b, end := open(broker.Config{Settings: map[string]string{"num.partitions": "12", "log.retention.hours": "24"}})
	defer end()
	admin := kadm.NewClient(connect(b))
	defer admin.Close()
	topic, err := admin.CreateTopic(context.Background(), -1, -1, nil, "t")
	check(err)
	fmt.Println(topic.NumPartitions)

	err = broker.Config{InMemory: true, Settings: map[string]string{"num.partition": "12"}}.Validate()
	fmt.Println(strings.Contains(err.Error(), "num.partitions"))
	// Output:
	// 12
	// true
}

// The metrics have the names that dashboards for Kafka use.
func ExampleBroker_Metrics() {
	b, end := open(broker.Config{})
	defer end()
	client := connect(b, kgo.DefaultProduceTopic("orders"))
	defer client.Close()
	for range 3 {
		check(client.ProduceSync(context.Background(), kgo.StringRecord("one more")).FirstErr())
	}
	page := httptest.NewRecorder()
	b.Metrics().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, `kafka_topic_partition_current_offset{`) {
			fmt.Print(line)
		}
	}
	// Output: kafka_topic_partition_current_offset{topic="orders",partition="0"} 3
}

// A hook is told what became of each batch, and when: spans can be made of it.
func ExampleProduceTrace() {
	traces := make(chan broker.ProduceTrace, 1)
	b, end := open(broker.Config{Trace: func(t broker.ProduceTrace) { traces <- t }})
	defer end()
	client := connect(b, kgo.DefaultProduceTopic("orders"))
	defer client.Close()
	parent := kgo.RecordHeader{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}
	check(client.ProduceSync(context.Background(), &kgo.Record{Value: []byte("v"), Headers: []kgo.RecordHeader{parent}}).FirstErr())
	t := <-traces
	fmt.Println(t.Topic, t.Partition, t.BaseOffset, t.TraceParents[0])
	fmt.Println("durable before it was answered:", !t.Durable.After(t.Answered))
	// Output:
	// orders 0 0 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
	// durable before it was answered: true
}
