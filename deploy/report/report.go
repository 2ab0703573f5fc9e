// Package report is what a demo run tells at its end: a table for people, and
// the same numbers as JSON for programs.
package report

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
)

// Report is one run in numbers. The JSON names are a contract with whoever
// reads the file.
type Report struct {
	// Orders are the distinct orders the run's client was told are accepted,
	// counted by the state they ended in.
	OrdersPlaced    int `json:"orders_placed"`
	OrdersConfirmed int `json:"orders_confirmed"`
	OrdersRejected  int `json:"orders_rejected"`
	OrdersCancelled int `json:"orders_cancelled"`
	// EmailsSent are the distinct mails about the run's orders, and
	// MailRedeliveries the deliveries beyond the first of any mail.
	EmailsSent       int `json:"emails_sent"`
	MailRedeliveries int `json:"mail_redeliveries"`
	// What the index holds at the end.
	ProductsIndexed int `json:"products_indexed"`
	LogLinesIndexed int `json:"log_lines_indexed"`
	// The checker's verdict over everything on the platform.
	LostOrders       int  `json:"lost_orders"`
	DuplicateEffects int  `json:"duplicate_effects"`
	OrderInversions  int  `json:"order_inversions"`
	StockConserved   bool `json:"stock_conserved"`
	// Seconds are from the first request to the last order's terminal event;
	// OrdersPerSecond are the placed orders over them.
	Seconds         float64 `json:"seconds"`
	OrdersPerSecond float64 `json:"orders_per_second"`
	// Settle times are from the moment the request left to the time of the
	// terminal event, for orders that were not cancelled.
	SettleP50ms float64 `json:"settle_p50_ms"`
	SettleP99ms float64 `json:"settle_p99_ms"`

	// Violations are named where there are any.
	Violations []string `json:"violations,omitempty"`

	// What only the table shows.
	Partitions []TopicCounts  `json:"-"`
	Indexed    map[string]int `json:"-"`
	Verdict    string         `json:"-"`
}

// TopicCounts are the records of a topic by partition.
type TopicCounts struct {
	Topic      string
	Partitions []int
}

// Order is an order of the run, by its client's clock.
type Order struct {
	ID     string
	SentAt time.Time
}

// Run is what the checker does not know of the run that is reported.
type Run struct {
	Orders  []Order
	Indexed map[string]int // documents by kind
}

// Build counts the run's part of the facts.
func Build(run Run, facts checker.Facts, verdict checker.Verdict) Report {
	sent := map[string]time.Time{}
	for _, o := range run.Orders {
		if at, twice := sent[o.ID]; !twice || o.SentAt.Before(at) {
			sent[o.ID] = o.SentAt
		}
	}
	r := Report{
		OrdersPlaced:     len(sent),
		MailRedeliveries: verdict.MailRedeliveries,
		ProductsIndexed:  run.Indexed["products"],
		LogLinesIndexed:  run.Indexed["logs"],
		LostOrders:       verdict.Count(checker.Lost),
		DuplicateEffects: verdict.Count(checker.Duplicate),
		OrderInversions:  verdict.Count(checker.Inversion),
		StockConserved:   verdict.Count(checker.Stock) == 0,
		Indexed:          run.Indexed,
		Verdict:          verdict.Line(),
		Partitions:       []TopicCounts{count("orders.v1", facts.Events), count("inventory.v1", facts.StockEvents)},
	}
	for _, v := range verdict.Violations {
		r.Violations = append(r.Violations, v.String())
	}
	for _, o := range facts.Orders {
		if _, ours := sent[o.ID]; ours {
			switch o.Status {
			case "confirmed":
				r.OrdersConfirmed++
			case "rejected":
				r.OrdersRejected++
			case "cancelled":
				r.OrdersCancelled++
			}
		}
	}
	r.EmailsSent = mails(facts, sent)
	r.times(facts, sent)
	return r
}

// mails counts the distinct mails about the run's events.
func mails(facts checker.Facts, sent map[string]time.Time) int {
	ours := map[string]bool{}
	for _, e := range facts.Events {
		if _, ok := sent[e.OrderID]; ok {
			ours[e.ID+"@quokka.local"] = true
		}
	}
	n := 0
	for _, m := range facts.Mails {
		if ours[m.MessageID] {
			ours[m.MessageID] = false
			n++
		}
	}
	return n
}

// times fills in how long the run and its orders took.
func (r *Report) times(facts checker.Facts, sent map[string]time.Time) {
	var first, last time.Time
	for _, at := range sent {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	cancelled, settled := map[string]bool{}, map[string]time.Time{}
	for _, e := range facts.Events {
		if _, ours := sent[e.OrderID]; !ours || e.Type == checker.Placed {
			continue
		}
		if e.Type == checker.Cancelled {
			cancelled[e.OrderID] = true
		} else {
			settled[e.OrderID] = e.OccurredAt
		}
		if e.OccurredAt.After(last) {
			last = e.OccurredAt
		}
	}
	if took := last.Sub(first).Seconds(); took > 0 {
		r.Seconds = round(took)
		r.OrdersPerSecond = round(float64(r.OrdersPlaced) / took)
	}
	var ms []float64
	for id, at := range settled {
		if !cancelled[id] {
			ms = append(ms, float64(at.Sub(sent[id]))/float64(time.Millisecond))
		}
	}
	r.SettleP50ms, r.SettleP99ms = quantile(ms, .50), quantile(ms, .99)
}

// quantile returns the smallest value that at least q of the values reach.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	i := int(math.Ceil(q*float64(len(values)))) - 1
	return round(values[max(i, 0)])
}

// round keeps two decimals: more would be noise.
func round(f float64) float64 { return math.Round(f*100) / 100 }

func count(topic string, events []checker.Event) TopicCounts {
	c := TopicCounts{Topic: topic}
	for _, e := range events {
		for int(e.Partition) >= len(c.Partitions) {
			c.Partitions = append(c.Partitions, 0)
		}
		c.Partitions[e.Partition]++
	}
	return c
}

// Write writes the report as JSON to a file.
func (r Report) Write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil { //nolint:gosec // a report is for everyone
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
