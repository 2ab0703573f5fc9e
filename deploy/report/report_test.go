package report

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/term"
)

func sample() Report {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var (
		facts checker.Facts
		run   = Run{Indexed: map[string]int{"products": 25, "logs": 1234, "customers": 3}}
	)
	for i, fate := range []string{"confirmed", "confirmed", "rejected", "cancelled", "confirmed"} {
		id := string(rune('a' + i))
		facts.Orders = append(facts.Orders, checker.Order{ID: id, Status: fate})
		end := map[string]string{"confirmed": checker.Confirmed, "rejected": checker.Rejected, "cancelled": checker.Cancelled}[fate]
		for j, eventType := range []string{checker.Placed, end} {
			eventID := id + string(rune('0'+j))
			facts.Events = append(facts.Events, checker.Event{
				Partition: int32(i % 3), ID: eventID, Type: eventType, OrderID: id,
				OccurredAt: at.Add(time.Duration(500*(i+1)) * time.Millisecond),
			})
			facts.Mails = append(facts.Mails, checker.Mail{MessageID: eventID + "@quokka.local"})
		}
		if i < 4 { // the fifth is of a run before
			run.Orders = append(run.Orders, Order{id, at})
		}
	}
	// One request was answered twice.
	run.Orders = append(run.Orders, run.Orders[0])
	return Build(run, facts, checker.Verdict{MailRedeliveries: 1})
}

func TestBuild(t *testing.T) {
	got := sample()
	want := Report{
		OrdersPlaced: 4, OrdersConfirmed: 2, OrdersRejected: 1, OrdersCancelled: 1,
		EmailsSent: 8, MailRedeliveries: 1, ProductsIndexed: 25, LogLinesIndexed: 1234,
		StockConserved: true, Seconds: 2, OrdersPerSecond: 2, SettleP50ms: 1000, SettleP99ms: 1500,
		Partitions: []TopicCounts{{"orders.v1", []int{4, 4, 2}}, {"inventory.v1", nil}},
		Indexed:    got.Indexed,
		Verdict:    "lost 0 · duplicate effects 0 · order inversions 0 · stock conserved",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestJSONNames: the file's names and types are what readers rely on.
func TestJSONNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := sample().Write(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(`orders_placed orders_confirmed orders_rejected orders_cancelled emails_sent mail_redeliveries products_indexed
		log_lines_indexed lost_orders duplicate_effects order_inversions stock_conserved seconds orders_per_second settle_p50_ms settle_p99_ms`)
	slices.Sort(want)
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(got))); d != "" {
		t.Error(d)
	}
	for name, value := range got {
		if _, isBool := value.(bool); isBool != (name == "stock_conserved") {
			t.Errorf("%s is %T", name, value)
		}
	}
}

func TestViolationsAreNamed(t *testing.T) {
	v := checker.Verdict{Violations: []checker.Violation{{Invariant: checker.Lost, Subject: "order x", Detail: "gone"}, {Invariant: checker.Stock, Subject: "sku y", Detail: "off"}}}
	r := Build(Run{}, checker.Facts{}, v)
	if r.LostOrders != 1 || r.StockConserved || len(r.Violations) != 2 || r.Violations[0] != "lost: order x: gone" {
		t.Errorf("got %+v", r)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	r := sample()
	p := term.New(&out)
	r.Print(p)
	r.PrintVerdict(p)
	const want = `
  orders     4 placed and settled in 2.00 s, 2 a second
             2 confirmed
             1 rejected
             1 cancelled
  settling   p50 1000 ms, p99 1500 ms from the request to confirmed or rejected

  records    orders.v1      10  by partition  4  4  2
             inventory.v1    0  by partition
  mails      8, one for each event, 1 delivered again
  index      25 products · 3 customers · 1,234 log lines

  ✓ lost 0 · duplicate effects 0 · order inversions 0 · stock conserved
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("%s\n%s", d, out.String())
	}
}
