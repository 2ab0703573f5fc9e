package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

// newClient is a client of an embedded broker without registry, and the broker's address.
func newClient(t *testing.T) (*Client, string) {
	t.Helper()
	addr := brokertest.Start(t).Addr()
	c, err := Open(t.Context(), []string{addr}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, addr
}

func (c *Client) create(t *testing.T, topic string, partitions int32) {
	t.Helper()
	if _, err := c.admin.CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// send writes values to a partition with times a second apart from second on.
func (c *Client) send(t *testing.T, topic string, partition int32, second int64, values ...string) {
	t.Helper()
	var records []*kgo.Record
	for i, v := range values {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Key: []byte("k"), Value: []byte(v), Timestamp: time.Unix(second+int64(i), 0)})
	}
	if err := c.produce(t.Context(), []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}, records...); err != nil {
		t.Fatal(err)
	}
}

// sendTx writes one record in a transaction, and returns once its marker is
// there, which may be after the transaction's end was answered.
func (c *Client) sendTx(t *testing.T, addr, topic, value string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("tx"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	for {
		stable, err := c.admin.ListCommittedOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		ends, err := c.admin.ListEndOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		behind := false
		stable.Each(func(o kadm.ListedOffset) {
			end, _ := ends.Lookup(o.Topic, o.Partition)
			behind = behind || o.Offset < end.Offset
		})
		if !behind {
			return
		}
	}
}

func (c *Client) read(t *testing.T, r Reading) (values []string, more bool) {
	t.Helper()
	more, err := c.Read(t.Context(), r, func(r Record) error {
		values = append(values, fmt.Sprint(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values, more
}

func TestRead(t *testing.T) {
	c, addr := newClient(t)
	c.create(t, "t", 3)
	c.create(t, "tx", 1)
	c.send(t, "t", 0, 1000, "a", "c", "e")
	c.send(t, "t", 1, 1000, "b", "d")
	from := func(text string) Position {
		p, err := ParsePosition(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tc := range []struct {
		name    string
		reading Reading
		want    string
		more    bool
	}{
		{"all by time", Reading{Partition: -1}, "a b c d e", false},
		{"limited", Reading{Partition: -1, Limit: 2}, "a b", true},
		{"exactly the limit", Reading{Partition: -1, Limit: 5}, "a b c d e", false},
		{"one partition", Reading{Partition: 1}, "b d", false},
		{"an empty partition", Reading{Partition: 2}, "", false},
		{"from an offset", Reading{Partition: -1, From: from("1")}, "c d e", false},
		{"the last of each", Reading{Partition: -1, From: from("-1")}, "d e", false},
		{"from a time", Reading{Partition: -1, From: from("1970-01-01T00:16:41Z")}, "c d e", false},
		{"from a time to come", Reading{Partition: -1, From: from("2100-01-01T00:00:00Z")}, "", false},
		{"from the end", Reading{Partition: -1, From: from("latest")}, "", false},
		{"chosen", Reading{Partition: -1, Match: func(r Record) bool { return r.Value != "c" }, Limit: 3}, "a b d", true},
	} {
		tc.reading.Topic = "t"
		got, more := c.read(t, tc.reading)
		if strings.Join(got, " ") != tc.want || more != tc.more {
			t.Errorf("%s: %v, more %v; want %s, more %v", tc.name, got, more, tc.want, tc.more)
		}
	}

	c.sendTx(t, addr, "tx", "x")
	if got, _ := c.read(t, Reading{Topic: "tx", Partition: -1}); len(got) != 1 {
		t.Errorf("a topic that ends with a marker: %v", got)
	}
	if _, err := c.Read(t.Context(), Reading{Topic: "none", Partition: -1}, nil); err == nil || err.Error() != "there is no topic none; there are: t, tx" {
		t.Errorf("unknown topic: %v", err)
	}
	if _, err := c.Read(t.Context(), Reading{Topic: "t", Partition: 3}, nil); err == nil || !strings.Contains(err.Error(), "has no partition 3") {
		t.Errorf("unknown partition: %v", err)
	}
}

func TestFollow(t *testing.T) {
	c, _ := newClient(t)
	c.create(t, "t", 2)
	c.send(t, "t", 0, 1000, "a")
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	_, err := c.Read(ctx, Reading{Topic: "t", Partition: -1, Follow: true}, func(r Record) error {
		got = append(got, fmt.Sprint(r.Value))
		switch len(got) {
		case 1: // written once the reading is under way
			c.send(t, "t", 1, 500, "b")
		case 2:
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || strings.Join(got, " ") != "a b" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestGroups: lag in records and seconds, of a group with a member and of one
// without; markers at the end are no lag; a busy group is not reset.
func TestGroups(t *testing.T) {
	c, addr := newClient(t)
	c.create(t, "t", 2)
	first := time.Now().Unix() - 100
	c.send(t, "t", 0, first, "a", "b", "c")
	c.sendTx(t, addr, "t", "x")

	plan, err := c.PlanReset(t.Context(), "g", "t", 0, Position{kind: atOffset, offset: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want := (ResetPlan{Group: "g", Topic: "t", New: true, Moves: []Move{{Partition: 0, From: -1, To: 1}}}); !cmp.Equal(plan, want, cmp.AllowUnexported(Move{})) {
		t.Errorf("plan %+v, want %+v", plan, want)
	}
	if err := c.Reset(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	groups, err := c.Groups(t.Context())
	if err != nil || len(groups) != 1 {
		t.Fatalf("%+v, %v", groups, err)
	}
	lag, behind := groups[0].Lag()
	if g := groups[0]; g.State != "Empty" || lag < 2 || behind < 98 || behind > float64(time.Now().Unix()-first) { // the next one is b, a second younger than first
		t.Errorf("after the reset: %+v", g)
	}

	member, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ClientID("reader"), kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	for values := 0; values < 3; {
		fetches := member.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		values += fetches.NumRecords()
	}
	if err := member.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	groups, err = c.Groups(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	g := groups[0]
	if lag, behind := g.Lag(); lag != 0 || behind != 0 || len(g.Members) != 1 || g.Members[0].ClientID != "reader" || !cmp.Equal(g.Members[0].Assigned, map[string][]int32{"t": {0, 1}}) {
		t.Errorf("with a member: %+v", g)
	}
	_, err = c.PlanReset(t.Context(), "g", "t", -1, Position{})
	var busy *BusyGroupError
	if !errors.As(err, &busy) || !strings.Contains(err.Error(), "group g has members (reader on 127.0.0.1): stop them first") {
		t.Errorf("reset of a busy group: %v", err)
	}
	// Planned before a member joined: the cluster refuses it.
	if err := c.Reset(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "a member joined group g meanwhile") {
		t.Errorf("reset behind a member's back: %v", err)
	}
	if _, err := c.Groups(t.Context(), "h"); err == nil || err.Error() != "there is no group h; there are: g" {
		t.Errorf("unknown group: %v", err)
	}
}

func TestTopics(t *testing.T) {
	c, _ := newClient(t)
	c.create(t, "orders.v1", 2)
	c.create(t, "mine", 1)
	value := "v"
	if _, err := c.admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"retention.ms": &value}, "bad"); err == nil {
		t.Error("a setting that is no number was taken")
	}
	hour := "3600000"
	if _, err := c.admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"retention.ms": &hour}, "_hidden"); err != nil {
		t.Fatal(err)
	}
	c.send(t, "orders.v1", 1, 1000, "a", "b")
	topics, err := c.Topics(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, topic := range topics {
		names = append(names, topic.Name)
	}
	if d := cmp.Diff([]string{"mine", "orders.v1"}, names); d != "" {
		t.Fatal(d)
	}
	orders := topics[1]
	if orders.Records() != 2 || orders.Bytes() <= 0 || orders.Declared == nil || orders.Declared.Key != "customer id, UTF-8" || topics[0].Declared != nil {
		t.Errorf("%+v", topics)
	}
	if got := declared("orders.v1.inventory.dlq"); got == nil || got.DeadLetterOf != "records of orders.v1 that group inventory gave up" {
		t.Errorf("%+v", got)
	}
	hidden, err := c.Topic(t.Context(), "_hidden")
	if err != nil || !hidden.Internal || !cmp.Equal(hidden.Settings, []Setting{{"retention.ms", hour}}) {
		t.Errorf("%+v, %v", hidden, err)
	}
	if _, err := c.Write(t.Context(), NewRecord{Topic: "_hidden", Partition: -1}); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("write to an internal topic: %v", err)
	}
	at, err := c.Write(t.Context(), NewRecord{Topic: "orders.v1", Partition: 1, Key: []byte("k"), Headers: map[string]string{"h": "v"}})
	if err != nil || at.Offset != 2 || at.Partition != 1 {
		t.Errorf("%+v, %v", at, err)
	}
	var last Record
	if _, err := c.Read(t.Context(), Reading{Topic: "orders.v1", Partition: 1, From: Position{kind: fromEnd, offset: 1}}, func(r Record) error { last = r; return nil }); err != nil {
		t.Fatal(err)
	}
	if last.Value != nil || last.Key != "k" || last.Header("h") != "v" {
		t.Errorf("%+v", last)
	}
}

func TestNobodyThere(t *testing.T) {
	if _, err := Open(t.Context(), []string{"127.0.0.1:1"}, ""); err == nil || !strings.Contains(err.Error(), "Kafka at 127.0.0.1:1 does not answer") {
		t.Error(err)
	}
}
