package collect

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/registry"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

const (
	orderID    = "01a20ab2-c591-7d8b-8d33-835418fd037c"
	customerID = "01a20ab2-c55d-7f34-8bf4-5a1ab035a14d"
)

// kafka is an embedded broker and registry with the platform's topics and schemas.
type kafka struct {
	t      *testing.T
	src    Sources
	client *kgo.Client
	serde  *serde.Serde
}

func newKafka(t *testing.T) *kafka {
	t.Helper()
	brokers := []string{brokertest.Start(t).Addr()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	r, err := registry.Open(t.Context(), registry.Config{Brokers: brokers, Listener: listener, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.Serve() }()
	t.Cleanup(func() {
		r.Close()
		<-served
	})
	k := &kafka{t: t, src: Sources{Brokers: brokers, RegistryURL: "http://" + r.Addr()}}
	if err := apply.Apply(t.Context(), apply.Config{Brokers: brokers, RegistryURL: k.src.RegistryURL, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	if k.client, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.client.Close)
	if k.serde, err = serde.New(k.src.RegistryURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.serde.Close)
	return k
}

// send produces an event as the relay does.
func (k *kafka) send(topic string, partition int32, id string, e events.Event) {
	k.t.Helper()
	value, err := k.serde.Encode(k.t.Context(), topic, e)
	if err != nil {
		k.t.Fatal(err)
	}
	k.produce(&kgo.Record{Topic: topic, Partition: partition, Key: []byte(customerID), Value: value, Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(id)}, {Key: "ce_subject", Value: []byte(orderID)},
		{Key: "traceparent", Value: []byte("00-" + fmt.Sprintf("%032d", 1) + "-0000000000000001-01")},
	}})
}

func (k *kafka) produce(records ...*kgo.Record) {
	k.t.Helper()
	if err := k.client.ProduceSync(k.t.Context(), records...).FirstErr(); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kafka) collector() *Collector {
	k.t.Helper()
	c, err := New(k.src)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(c.Close)
	return c
}

// read is what the collector has read of the topics.
func read(t *testing.T, c *Collector) checker.Facts {
	t.Helper()
	var f checker.Facts
	if err := c.readTopics(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	if err := c.readLags(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReadTopics(t *testing.T) {
	k := newKafka(t)
	c := k.collector()
	if f := read(t, c); len(f.Events)+len(f.StockEvents)+len(f.DeadLetters) != 0 {
		t.Errorf("empty topics: %+v", f)
	}

	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	lines := []events.OrderLine{{SKU: "A", Quantity: 2}}
	k.send(schemas.TopicOrders, 3, "e1", &events.OrderPlaced{OrderID: orderID, CustomerID: customerID, Version: 1, OccurredAt: at, Lines: lines})
	k.send(schemas.TopicInventory, 3, "s1", &events.StockReserved{OrderID: orderID, CustomerID: customerID, OccurredAt: at, Lines: []events.StockLine{{SKU: "A", Quantity: 2}}})
	// No event of an order: left to the consumers.
	k.produce(&kgo.Record{Topic: schemas.TopicOrders, Partition: 3, Value: []byte("garbage")})
	k.produce(&kgo.Record{
		Topic: "orders.v1.inventory.dlq", Value: []byte("garbage"),
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("x")}, {Key: "__dlq.errors.message", Value: []byte("boom")}},
	})
	f := read(t, c)
	want := checker.Event{
		Topic: "orders.v1", Partition: 3, Key: customerID, ID: "e1", Type: checker.Placed, OrderID: orderID, CustomerID: customerID,
		Version: 1, OccurredAt: at, Lines: []checker.Line{{SKU: "A", Quantity: 2}}, TraceParent: "00-00000000000000000000000000000001-0000000000000001-01",
	}
	if d := cmp.Diff([]checker.Event{want}, f.Events); d != "" {
		t.Error(d)
	}
	if len(f.StockEvents) != 1 || f.StockEvents[0].Type != checker.StockReserved || len(f.StockEvents[0].Lines) != 1 {
		t.Errorf("inventory.v1: %+v", f.StockEvents)
	}
	if d := cmp.Diff([]checker.DeadLetter{{Topic: "orders.v1.inventory.dlq", EventID: "x", Reason: "boom"}}, f.DeadLetters); d != "" {
		t.Error(d)
	}

	// The second reading goes on where the first ended.
	k.send(schemas.TopicOrders, 3, "e2", &events.OrderConfirmed{OrderID: orderID, CustomerID: customerID, Version: 2, OccurredAt: at})
	if f := read(t, c); len(f.Events) != 2 || f.Events[1].ID != "e2" || f.Events[1].Offset != 2 || len(f.DeadLetters) != 1 {
		t.Errorf("second reading: %+v", f)
	}
}

// TestReplayedLetters: a dead letter counts until the group has committed past its
// replay, and again if that failed.
func TestReplayedLetters(t *testing.T) {
	k := newKafka(t)
	c := k.collector()
	topic := schemas.DeadLetter(schemas.TopicOrders, schemas.GroupInventory).Name
	letter := func(headers ...string) *kgo.Record {
		r := &kgo.Record{Topic: topic, Key: []byte(customerID), Value: []byte("v"), Headers: []kgo.RecordHeader{
			{Key: "ce_id", Value: []byte("e1")}, {Key: consume.HeaderDeadTopic, Value: []byte(schemas.TopicOrders)}, {Key: consume.HeaderDeadGroup, Value: []byte(schemas.GroupInventory)},
			{Key: consume.HeaderDeadPartition, Value: []byte("3")}, {Key: consume.HeaderDeadOffset, Value: []byte("0")}, {Key: consume.HeaderDeadMessage, Value: []byte("boom")},
		}}
		for _, name := range headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte("1")})
		}
		return r
	}
	commit := func(offset int64) {
		t.Helper()
		var offsets kadm.Offsets
		offsets.AddOffset(topic, 0, offset, -1)
		if err := kadm.NewClient(k.client).CommitAllOffsets(t.Context(), schemas.GroupInventory, offsets); err != nil {
			t.Fatal(err)
		}
	}
	k.produce(letter())
	want := checker.DeadLetter{Topic: topic, EventID: "e1", Reason: "boom"}
	for _, step := range []struct {
		name string
		do   func()
		want []checker.DeadLetter
	}{
		{"given up", func() { commit(1) }, []checker.DeadLetter{want}},
		{"asked for", func() { k.produce(letter(consume.HeaderReplayOf, consume.HeaderReplayCount)); want.Waiting = true }, nil},
		{"handled", func() { commit(2) }, []checker.DeadLetter{}},
		{"failed again after all", func() { k.produce(letter(consume.HeaderReplayCount)); want.Waiting, want.Offset = false, 2 }, nil},
	} {
		step.do()
		if step.want == nil {
			step.want = []checker.DeadLetter{want}
		}
		if d := cmp.Diff(step.want, read(t, c).DeadLetters, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", step.name, d)
		}
	}
}

// TestLags: every group that should have read a record and has not said so lags.
func TestLags(t *testing.T) {
	k := newKafka(t)
	k.send(schemas.TopicOrders, 2, "e1", &events.OrderPlaced{OrderID: orderID, CustomerID: customerID, Version: 1, OccurredAt: time.Now(), Lines: []events.OrderLine{{SKU: "A", Quantity: 1}}})
	c := k.collector()
	lags := func() map[string]int64 {
		out := map[string]int64{}
		for _, lag := range read(t, c).Lags {
			if lag.Records > 0 {
				out[fmt.Sprintf("%s %s[%d]", lag.Group, lag.Topic, lag.Partition)] = lag.Records
			}
		}
		return out
	}
	want := map[string]int64{}
	for _, group := range schemas.Orders.Groups {
		want[group+" orders.v1[2]"] = 1
	}
	if d := cmp.Diff(want, lags()); d != "" {
		t.Error(d)
	}
	commit(t, k.src.Brokers, "inventory", schemas.TopicOrders)
	delete(want, "inventory orders.v1[2]")
	if d := cmp.Diff(want, lags()); d != "" {
		t.Error(d)
	}
}

// commit lets a group consume a topic to its end.
func commit(t *testing.T, brokers []string, group, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for client.PollFetches(ctx).NumRecords() == 0 {
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestOrder: one order's events by version, each once, with their payloads.
func TestOrder(t *testing.T) {
	k := newKafka(t)
	at := time.Now()
	placed := &events.OrderPlaced{OrderID: orderID, CustomerID: customerID, Version: 1, OccurredAt: at, Lines: []events.OrderLine{{SKU: "A", Quantity: 1}}}
	cancelled := &events.OrderCancelled{OrderID: orderID, CustomerID: customerID, Version: 2, OccurredAt: at, Reason: "no"}
	k.send(schemas.TopicOrders, 0, "e1", placed)
	k.send(schemas.TopicOrders, 0, "e2", cancelled)
	k.send(schemas.TopicOrders, 0, "e1", placed) // published again
	c := k.collector()
	for range 2 {
		story, err := c.Order(t.Context(), orderID)
		if err != nil {
			t.Fatal(err)
		}
		if len(story) != 2 || story[0].ID != "e1" || story[1].Payload.(*events.OrderCancelled).Reason != "no" {
			t.Errorf("story: %+v", story)
		}
	}
	if story, err := c.Order(t.Context(), customerID); err != nil || len(story) != 0 {
		t.Errorf("no order: %+v, %v", story, err)
	}
}
