package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/term"
)

func TestAge(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0.0 s", 0.44: "0.4 s", 11: "11 s", 119: "119 s", 600: "10 min", 3 * 3600: "3 h", 5 * 86400: "5 d",
	} {
		if got := age(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

func TestRanges(t *testing.T) {
	for want, ids := range map[string][]int32{"": nil, "3": {3}, "0-2": {0, 1, 2}, "0-1,4,6-7": {0, 1, 4, 6, 7}} {
		if got := ranges(ids); got != want {
			t.Errorf("%v: %s, want %s", ids, got, want)
		}
	}
}

// printed is what a function prints into a file.
func printed(print func(p *term.Printer)) string {
	var b bytes.Buffer
	print(term.New(&b))
	return "\n" + b.String()
}

func TestPrintTopic(t *testing.T) {
	topic := operate.Topic{
		Name: "orders.v1", Replicas: 3,
		Partitions: []operate.Partition{
			{ID: 0, Leader: 1, ISR: []int32{1, 2, 3}, Start: 5, End: 1505, Bytes: 2048},
			{ID: 1, Leader: -1, ISR: nil, Start: 0, End: 0, Bytes: 0},
		},
		Settings: []operate.Setting{{Name: "retention.ms", Value: "-1"}},
		Declared: &operate.Declared{Key: "customer id, UTF-8", Subjects: []string{"orders.v1-a", "orders.v1-b"}, Compatibility: "FULL", Groups: []string{"inventory", "order"}},
	}
	const want = `
  orders.v1  1,500 records in 2 partitions, 2.0 KiB
  key       customer id, UTF-8
  schemas   orders.v1-a
            orders.v1-b
            compatibility FULL
  groups    inventory, order
  settings  retention.ms=-1

  PARTITION  LEADER  IN SYNC  START   END  RECORDS     SIZE
          0       1      1-3      5  1505    1,500  2.0 KiB
          1    none               0     0        0      0 B
`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { printTopic(p, topic) })); d != "" {
		t.Error(d)
	}
	topic.Declared, topic.Settings, topic.Partitions = nil, nil, []operate.Partition{{ID: 0, Leader: 1, ISR: []int32{1}, End: 1, Bytes: -1}}
	const unknown = `
  orders.v1  1 record in 1 partition
            not a topic of the platform's
  settings  all as the cluster's defaults

  PARTITION  LEADER  IN SYNC  START  END  RECORDS
          0       1        1      0    1        1
`
	if d := cmp.Diff(unknown, printed(func(p *term.Printer) { printTopic(p, topic) })); d != "" {
		t.Error(d)
	}
}

func TestPrintGroup(t *testing.T) {
	group := operate.Group{
		Name: "inventory", State: "Stable",
		Members: []operate.Member{
			{ID: "quokka-inventory-aaaabbbb-1", ClientID: "quokka-inventory", Host: "10.0.0.1", Assigned: map[string][]int32{"orders.v1": {0, 1}, "a": {3}}},
			{ID: "quokka-inventory-ccccdddd-2", ClientID: "quokka-inventory", Host: "10.0.0.2", Assigned: map[string][]int32{"orders.v1.inventory.dlq": {0}, "a.inventory.dlq": {0}}},
		},
		Partitions: []operate.GroupProgress{
			{Topic: "orders.v1", Partition: 0, MemberID: "quokka-inventory-aaaabbbb-1", Committed: 10, End: 1250, Lag: 1240, Behind: 61},
			{Topic: "orders.v1", Partition: 1, MemberID: "quokka-inventory-aaaabbbb-1", Committed: -1},
			{Topic: "orders.v1.inventory.dlq", MemberID: "quokka-inventory-ccccdddd-2", Committed: 4, End: 5, Lag: 1, Behind: 2},
			{Topic: "a.inventory.dlq", MemberID: "quokka-inventory-ccccdddd-2", Committed: 4, End: 4},
		},
	}
	const want = `
  inventory  Stable, 2 members, lag 1,241 (61 s)

  MEMBER                     HOST      READS
  quokka-inventory aaaabbbb  10.0.0.1  a 3
                                       orders.v1 0-1
  quokka-inventory ccccdddd  10.0.0.2  orders.v1.inventory.dlq 0

  TOPIC                    PARTITION  COMMITTED   END    LAG  BEHIND  MEMBER
  orders.v1                        0         10  1250  1,240    61 s  aaaabbbb
  orders.v1                        1          -     0      0       -  aaaabbbb
  orders.v1.inventory.dlq          0          4     5      1   2.0 s  ccccdddd
  also read, for replays: a.inventory.dlq
`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { printGroup(p, group) })); d != "" {
		t.Error(d)
	}
}

func TestTopicLags(t *testing.T) {
	lags := topicLags([]operate.Group{{Name: "g", Partitions: []operate.GroupProgress{
		{Topic: "b", Partition: 0, MemberID: "m1", Lag: 3, Behind: 1},
		{Topic: "b", Partition: 1, MemberID: "m2", Lag: 4, Behind: 12},
		{Topic: "b", Partition: 2, MemberID: "m2"},
		{Topic: "a", Partition: 0},
	}}})
	const want = `
  GROUP  TOPIC  MEMBERS  PARTITIONS BEHIND  LAG  BEHIND
  g      a            0             0 of 1    0       -
  g      b            2             2 of 3    7    12 s
`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { p.Printf("%s", formatLags(p, lags, false)) })); d != "" {
		t.Error(d)
	}
	if got := formatLags(term.New(&bytes.Buffer{}), nil, false); got != "  no consumer group has read anything yet\n" {
		t.Error(got)
	}
}

func TestPrintRecord(t *testing.T) {
	record := operate.Record{
		Topic: "orders.v1", Partition: 3, Offset: 17, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Key: "c",
		Headers: []operate.Header{{Name: "ce_id", Value: "1"}, {Name: "traceparent", Value: "00-a"}}, Type: "quokka.order.v1.OrderPlaced",
		Value: map[string]any{"order_id": strings.Repeat("x", 40), "sku": "<b>"},
	}
	want := `
orders.v1[3]@17  2026-01-02T03:04:05.000000Z  OrderPlaced
  key          c
  ce_id        1
  traceparent  00-a
  {"order_id":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","sku":"<b>"}

`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { printRecord(p, record) })); d != "" {
		t.Error(d)
	}
	record.Value, record.Headers, record.Problem, record.Key = map[string]any{"order_id": strings.Repeat("x", 90), "n": 1}, nil, "no such schema", nil
	want = `
orders.v1[3]@17  2026-01-02T03:04:05.000000Z  OrderPlaced
  key      none
  problem  no such schema
  {
    "n": 1,
    "order_id": "` + strings.Repeat("x", 90) + `"
  }

`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { printRecord(p, record) })); d != "" {
		t.Error(d)
	}
}

func TestMatch(t *testing.T) {
	r := operate.Record{Key: map[string]any{"sku": "A", "n": 3}, Headers: []operate.Header{{Name: "ce_subject", Value: "o"}}}
	for _, tc := range []struct {
		cmd  topicsReadCmd
		want bool
	}{
		{topicsReadCmd{}, true},
		{topicsReadCmd{Key: "A"}, true},
		{topicsReadCmd{Key: "3"}, true},
		{topicsReadCmd{Key: "B"}, false},
		{topicsReadCmd{Header: map[string]string{"ce_subject": "o"}}, true},
		{topicsReadCmd{Header: map[string]string{"ce_subject": "p"}}, false},
		{topicsReadCmd{Key: "A", Header: map[string]string{"other": "o"}}, false},
	} {
		if got := tc.cmd.match(r); got != tc.want {
			t.Errorf("%q %v: %v", tc.cmd.Key, tc.cmd.Header, got)
		}
	}
	for _, tc := range []struct {
		key  any
		want bool
	}{{"A", true}, {"B", false}, {nil, false}, {json.RawMessage("A"), true}, {operate.Bytes("A"), false}} {
		if got := holds(tc.key, "A"); got != tc.want {
			t.Errorf("%v: %v", tc.key, got)
		}
	}
}
