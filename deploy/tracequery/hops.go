package tracequery

import (
	"cmp"
	"slices"

	"github.com/quokka-stream/quokka/schemas"
)

// Hop is a step of a trace from one messaging or server span to the next; what
// lies between, such as SQL, is passed over.
type Hop struct{ From, To string }

func (h Hop) String() string { return h.From + " → " + h.To }

// Names of the services and spans that an order's trace must have.
const (
	post           = "order: POST /orders"
	sendOrders     = "order: send " + schemas.TopicOrders
	sendStock      = "inventory: send " + schemas.TopicInventory
	processOrders  = "inventory: process " + schemas.TopicOrders
	processStock   = "order: process " + schemas.TopicInventory
	searchOrders   = "search-sync: process " + schemas.TopicOrders
	mailOrders     = "notification: process " + schemas.TopicOrders
	produceOrders  = brokerService + ": produce " + schemas.TopicOrders
	produceStock   = brokerService + ": produce " + schemas.TopicInventory
	brokerService  = "broker"
	sendMail       = "send mail"
	indexWork      = "index documents"
	outcomeRetried = "retried"
)

// OrderHops are the hops of an order's trace: placed, answered by inventory,
// confirmed or rejected, and each event on its way to every group that takes it.
// A cancellation is a request of its own, with its own trace.
func OrderHops() map[Hop]int {
	hops := map[Hop]int{
		{post, sendOrders}:         1, // OrderPlaced
		{processOrders, sendStock}: 1, // StockReserved or StockRejected
		{processStock, sendOrders}: 1, // OrderConfirmed or OrderRejected
	}
	for _, group := range schemas.Orders.Groups {
		hops[Hop{sendOrders, group + ": process " + schemas.TopicOrders}] = 2
	}
	for _, group := range schemas.Inventory.Groups {
		hops[Hop{sendStock, group + ": process " + schemas.TopicInventory}] = 1
	}
	return hops
}

// BrokerHops are those that the broker adds while its tracing is on: it takes
// what was sent.
func BrokerHops() map[Hop]int {
	return map[Hop]int{{sendOrders, produceOrders}: 2, {sendStock, produceStock}: 1}
}

// delivery is one message on one of its steps: the spans of all attempts at it,
// the first one first.
type delivery struct {
	spans []Span
	hop   Hop
	root  bool // there is no step before it
}

// step is what makes spans attempts at the same thing.
type step struct{ label, message string }

// deliveries are the steps of the trace in the order in which they began.
func (t Trace) deliveries() []*delivery {
	spans := t.byID()
	known := map[step]*delivery{}
	var out []*delivery
	for _, s := range t.Spans {
		if !stage(s) {
			continue
		}
		key := step{label(s), cmp.Or(s.Tags["messaging.message.id"], s.Tags["messaging.destination.partition.id"]+"/"+s.Tags["messaging.kafka.offset"])}
		if key.message == "/" {
			key.message = s.ID
		}
		if d := known[key]; d != nil {
			d.spans = append(d.spans, s)
			continue
		}
		d := &delivery{spans: []Span{s}, hop: Hop{To: label(s)}, root: true}
		if up, ok := t.stageAbove(spans, s); ok {
			d.hop.From, d.root = label(up), false
		}
		known[key] = d
		out = append(out, d)
	}
	return out
}

// Hops counts the steps of the trace, each once however often it was tried.
// Spans are named by service and name.
func (t Trace) Hops() map[Hop]int {
	out := map[Hop]int{}
	for _, d := range t.deliveries() {
		if !d.root {
			out[d.hop]++
		}
	}
	return out
}

// Complete reports whether the trace has every hop of an order.
func (t Trace) Complete() bool {
	got := t.Hops()
	for hop, n := range OrderHops() {
		if got[hop] < n {
			return false
		}
	}
	return true
}

func (t Trace) byID() map[string]Span {
	spans := make(map[string]Span, len(t.Spans))
	for _, s := range t.Spans {
		spans[s.ID] = s
	}
	return spans
}

func stage(s Span) bool { return slices.Contains([]string{"server", "producer", "consumer"}, s.Kind) }

func label(s Span) string { return s.Service + ": " + s.Name }

// SQL is what Work calls a statement.
const SQL = "SQL"

// Work names what a span between the steps does: its statements are SQL, others
// are called by name.
func Work(s Span) string {
	if s.Tags["db.system"] != "" || s.Tags["db.system.name"] != "" {
		return SQL
	}
	return s.Name
}
