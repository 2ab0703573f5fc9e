package tracequery

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/schemas"
)

// Record is a record of an order as the broker has it.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	ID        string // the event's
	// Sender is the span that the record names as its sender, from its header
	// traceparent.
	Sender string
}

func (r Record) place() place {
	return place{r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Offset, 10)}
}

// place is where a record lies, as spans say it.
type place struct{ topic, partition, offset string }

func (p place) String() string { return p.topic + "/" + p.partition + " offset " + p.offset }

func placeOf(s Span) place {
	return place{s.Tags["messaging.destination.name"], s.Tags["messaging.destination.partition.id"], s.Tags["messaging.kafka.offset"]}
}

// Check says what keeps the trace from being the whole story of an order, and
// nothing but that. It holds if
//
//   - the trace has one root, and every other span's parent is in it;
//   - its hops are exactly those of OrderHops, and with the broker's tracing on
//     also those of BrokerHops;
//   - a step that was tried again is marked as redelivery, or follows an attempt
//     that said it would be; nothing else ended in an error;
//   - each process span is the child of the span that sent what it processes, and
//     linked to it;
//   - the steps did their work: SQL, a mail for each of notification's, the index for each of
//     search-sync's;
//   - what the spans say of partitions and offsets is where the broker has the
//     records, and each record was sent by the span it names.
//
// records are all of the order's records in this trace.
func (t Trace) Check(order string, records []Record) []string {
	c := checking{t: t, spans: t.byID()}
	c.tree()
	c.hops()
	for _, d := range t.deliveries() {
		c.attempts(d)
		c.work(d)
	}
	c.places(order, records)
	return c.problems
}

// checking is one check.
type checking struct {
	t        Trace
	spans    map[string]Span
	problems []string
}

func (c *checking) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// tree looks at roots, parents and links.
func (c *checking) tree() {
	var roots []string
	for _, s := range c.t.Spans {
		parent, present := c.spans[s.Parent]
		switch {
		case s.Parent == "":
			roots = append(roots, label(s))
		case !present:
			c.problem("%s has a parent, %s, that is not in the trace", label(s), s.Parent)
		}
		if s.Kind != "consumer" {
			continue
		}
		if !slices.Contains(s.Links, s.Parent) {
			c.problem("%s is not linked to the span that sent what it processes", label(s))
		}
		if topic := s.Tags["messaging.destination.name"]; present && (parent.Kind != "producer" || parent.Name != "send "+topic) {
			c.problem("%s is the child of %s, not of the span that sent what it processes", label(s), label(parent))
		}
	}
	if len(c.spans) != len(c.t.Spans) {
		c.problem("%d spans have only %d ids", len(c.t.Spans), len(c.spans))
	}
	if len(roots) != 1 {
		c.problem("%d roots instead of one: %v", len(roots), roots)
	} else if roots[0] != post {
		c.problem("the root is %s, want %s", roots[0], post)
	}
}

// hops compares the hops with those declared.
func (c *checking) hops() {
	got, want := c.t.Hops(), OrderHops()
	for hop := range got {
		if strings.HasPrefix(hop.To, brokerService+": ") {
			maps.Copy(want, BrokerHops())
			break
		}
	}
	for hop, n := range want {
		if got[hop] != n {
			c.problem("%s: %d times, want %d", hop, got[hop], n)
		}
	}
	for hop, n := range got {
		if want[hop] == 0 && !elsewhere(hop) {
			c.problem("%s: %d times, which is no hop of an order", hop, n)
		}
	}
	slices.Sort(c.problems)
}

// elsewhere: services beside those of this platform may go on from what they
// consumed, on topics of their own.
func elsewhere(h Hop) bool {
	if service, _, _ := strings.Cut(h.From, ": "); slices.Contains([]string{"order", "inventory", "notification", "search-sync", brokerService}, service) {
		return false
	}
	if topic, sent := strings.CutPrefix(h.To, brokerService+": produce "); sent {
		return strings.HasSuffix(h.From, ": send "+topic)
	}
	_, topic, sent := strings.Cut(h.From, ": send ")
	if !sent {
		return true
	}
	i := slices.IndexFunc(schemas.Topics(), func(t schemas.Topic) bool { return t.Name == topic })
	group, _, _ := strings.Cut(h.To, ": ")
	return i >= 0 && slices.Contains(schemas.Topics()[i].Groups, group)
}

// attempts looks at how often one step was tried and how it ended.
func (c *checking) attempts(d *delivery) {
	done := 0
	for i, s := range d.spans {
		again := s.Tags["quokka.redelivered"] == "true" || c.spans[s.Parent].Tags["quokka.redelivered"] == "true"
		if i > 0 && !again && d.spans[i-1].Tags["quokka.outcome"] != outcomeRetried {
			c.problem("%s of message %s was repeated without being marked as redelivery", label(s), s.Tags["messaging.message.id"])
		}
		switch {
		case s.Tags["quokka.outcome"] == outcomeRetried, s.Kind == "producer" && s.Error != "" && i+1 < len(d.spans):
		case s.Error != "":
			c.problem("%s ended in an error: %s", label(s), s.Error)
		default:
			done++
		}
	}
	if done == 0 {
		c.problem("%s never came to its end in %d attempts", d.hop.To, len(d.spans))
	}
}

// work looks at what lies under one step: it must be there, and without an error
// unless the attempt was to be repeated.
func (c *checking) work(d *delivery) {
	want := map[string][]string{
		post: {SQL}, processOrders: {SQL}, processStock: {SQL}, mailOrders: {SQL, sendMail}, searchOrders: {indexWork},
	}[d.hop.To]
	found, worked := map[string]int{}, false
	for _, s := range d.spans {
		outcome := s.Tags["quokka.outcome"]
		worked = worked || outcome == "" || outcome == "handled"
		for _, inner := range c.under(s) {
			switch {
			case inner.Error == "":
				found[Work(inner)]++
			case outcome != outcomeRetried:
				c.problem("%s in %s ended in an error: %s", Work(inner), label(s), inner.Error)
			}
		}
	}
	for _, kind := range want {
		if worked && found[kind] == 0 {
			c.problem("%s shows no %s", d.hop.To, kind)
		}
	}
}

// under are the spans below s down to the next step.
func (c *checking) under(s Span) []Span {
	var out []Span
	for _, inner := range c.t.Spans {
		up, ok := inner, true
		for ok && !stage(up) {
			up, ok = c.spans[up.Parent]
		}
		if up.ID == s.ID && inner.ID != s.ID {
			out = append(out, inner)
		}
	}
	return out
}

// places compares what spans say of records with the records.
func (c *checking) places(order string, records []Record) {
	at := map[place]Record{}
	for _, r := range records {
		at[r.place()] = r
		sender, ok := c.spans[r.Sender]
		if !ok || sender.Kind != "producer" {
			c.problem("the record at %s names %s as its sender, which is no send span of the trace", r.place(), r.Sender)
		} else if placeOf(sender) != r.place() {
			c.problem("%s says that it sent to %s, the broker has its record at %s", label(sender), placeOf(sender), r.place())
		}
	}
	for _, s := range c.t.Spans {
		if s.Kind != "consumer" && (s.Kind != "producer" || s.Error != "") && (s.Kind != "server" || s.Service != brokerService) {
			continue // it has no record, or none came of it
		}
		topic := s.Tags["messaging.destination.name"]
		if topic != schemas.TopicOrders && topic != schemas.TopicInventory {
			continue // a topic of a service beside the platform's
		}
		r, ok := at[placeOf(s)]
		id := s.Tags["messaging.message.id"]
		switch {
		case !ok:
			c.problem("%s is about %s, where the broker has no record of this order", label(s), placeOf(s))
		case s.Kind != "producer" && s.Parent != r.Sender:
			c.problem("%s is about %s, whose record names another sender", label(s), placeOf(s))
		case id != r.ID && s.Service != brokerService:
			c.problem("%s is about message %s, the broker has %s at %s", label(s), id, r.ID, placeOf(s))
		}
		if got := s.Tags["messaging.message.conversation_id"]; s.Kind == "consumer" && got != order {
			c.problem("%s is about order %q, want %s", label(s), got, order)
		}
	}
}
