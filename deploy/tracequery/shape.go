package tracequery

import (
	"fmt"
	"maps"
	"slices"
)

// Node is a span in the tree of its trace.
type Node struct {
	Span
	Depth int
}

// Tree returns the spans depth first, children by start time. A span whose
// parent is missing stands at the top.
func (t Trace) Tree() []Node {
	children, present := map[string][]Span{}, map[string]bool{}
	for _, s := range t.Spans {
		present[s.ID] = true
	}
	var (
		out   []Node
		place func(Span, int)
	)
	for _, s := range t.Spans {
		if present[s.Parent] {
			children[s.Parent] = append(children[s.Parent], s)
		}
	}
	place = func(s Span, depth int) {
		out = append(out, Node{s, depth})
		for _, child := range children[s.ID] {
			place(child, depth+1)
		}
	}
	for _, s := range t.Spans {
		if !present[s.Parent] {
			place(s, 0)
		}
	}
	return out
}

// Problems says what keeps the trace from being whole.
func (t Trace) Problems() []string {
	var out, roots []string
	spans := map[string]Span{}
	for _, s := range t.Spans {
		spans[s.ID] = s
	}
	for _, s := range t.Spans {
		name := s.Service + " " + s.Name
		if s.Parent == "" {
			roots = append(roots, name)
		} else if _, ok := spans[s.Parent]; !ok {
			out = append(out, fmt.Sprintf("%s has a parent, %s, that is not in the trace", name, s.Parent))
		}
		if s.Error != "" {
			out = append(out, fmt.Sprintf("%s ended in an error: %s", name, s.Error))
		}
		if s.Kind == "consumer" && !slices.Contains(s.Links, s.Parent) {
			out = append(out, name+" is not linked to the span that sent what it processes")
		}
	}
	if len(roots) != 1 {
		out = append(out, fmt.Sprintf("%d roots instead of one: %v", len(roots), roots))
	}
	return out
}

// Hop is a step of a trace from one messaging or server span to the next; what
// lies between, such as SQL, is passed over.
type Hop struct{ From, To string }

func (h Hop) String() string { return h.From + " → " + h.To }

// Hops counts the steps of the trace. Spans are named by service, kind and name.
func (t Trace) Hops() map[Hop]int {
	spans := map[string]Span{}
	for _, s := range t.Spans {
		spans[s.ID] = s
	}
	out := map[Hop]int{}
	for _, s := range t.Spans {
		if !stage(s) {
			continue
		}
		for up, ok := spans[s.Parent]; ok; up, ok = spans[up.Parent] {
			if stage(up) {
				out[Hop{label(up), label(s)}]++
				break
			}
		}
	}
	return out
}

func stage(s Span) bool { return s.Kind == "server" || s.Kind == "producer" || s.Kind == "consumer" }

func label(s Span) string { return s.Service + ": " + s.Name }

// Missing returns the hops that the trace does not have as often as wanted.
func (t Trace) Missing(want map[Hop]int) []string {
	got := t.Hops()
	var out []string
	for _, hop := range slices.SortedFunc(maps.Keys(want), func(a, b Hop) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	}) {
		if got[hop] < want[hop] {
			out = append(out, fmt.Sprintf("%s: %d times, want %d", hop, got[hop], want[hop]))
		}
	}
	return out
}

// OrderHops are the hops of an order's trace: placed, answered by inventory,
// confirmed or rejected, and each event on its way to whoever takes it. A
// cancellation is a request of its own, with its own trace.
func OrderHops() map[Hop]int {
	const (
		post       = "order: POST /orders"
		sendOrders = "order: send orders.v1"
		sendStock  = "inventory: send inventory.v1"
		inventory  = "inventory: process orders.v1"
		order      = "order: process inventory.v1"
		mail       = "notification: process orders.v1"
		search     = "search-sync: process orders.v1"
	)
	return map[Hop]int{
		{post, sendOrders}:      1, // OrderPlaced
		{sendOrders, inventory}: 2, // and its terminal event
		{sendOrders, mail}:      2,
		{sendOrders, search}:    2,
		{inventory, sendStock}:  1,
		{sendStock, order}:      1,
		{order, sendOrders}:     1,
	}
}
