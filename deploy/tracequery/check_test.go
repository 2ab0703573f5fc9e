package tracequery

import (
	"encoding/binary"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/deploy/tracestore"
	"github.com/quokka-stream/quokka/schemas"
)

// span is a span of the sample, before it is exported.
type span struct {
	id, parent    string // names within the sample
	service, name string
	kind          trace.SpanKind
	links         []string
	tags          map[string]string
	fails         string
}

// story is the trace of one order and its records, for a test to spoil.
type story struct {
	spans   []*span
	records []Record
}

func (s *story) span(id string) *span {
	return s.spans[slices.IndexFunc(s.spans, func(s *span) bool { return s.id == id })]
}

func (s *story) drop(id string) {
	s.spans = slices.DeleteFunc(s.spans, func(s *span) bool { return s.id == id })
}

// repeat adds another attempt at a span, which is marked with tags.
func (s *story) repeat(id string, tags map[string]string) *span {
	again := *s.span(id)
	again.id += " again"
	again.tags = maps.Clone(again.tags)
	maps.Copy(again.tags, tags)
	s.spans = append(s.spans, &again)
	return &again
}

const order = "the-order"

// whole is the trace of a confirmed order.
func whole() *story {
	s := &story{}
	add := func(id, parent, service, name string, kind trace.SpanKind, tags map[string]string) *span {
		s.spans = append(s.spans, &span{id: id, parent: parent, service: service, name: name, kind: kind, tags: tags})
		return s.spans[len(s.spans)-1]
	}
	sql := func(parent, service string) {
		add("sql of "+parent, parent, service, "insert", trace.SpanKindClient, map[string]string{"db.system.name": "postgresql"})
	}
	offset := map[string]string{"placed": "0", "reserved": "7", "confirmed": "1"}
	about := func(event, topic string) map[string]string {
		return map[string]string{
			"messaging.destination.name": topic, "messaging.destination.partition.id": "2", "messaging.kafka.offset": offset[event],
			"messaging.message.id": "id of " + event,
		}
	}
	send := func(event, parent, service, topic string) {
		add("send "+event, parent, service, "send "+topic, trace.SpanKindProducer, about(event, topic))
		s.records = append(s.records, Record{Topic: topic, Partition: 2, Offset: int64(offset[event][0] - '0'), ID: "id of " + event, Sender: spanID("send " + event).String()})
	}
	process := func(event, service, topic, outcome string) {
		p := add(service+" "+event, "send "+event, service, "process "+topic, trace.SpanKindConsumer, about(event, topic))
		p.links = []string{p.parent}
		p.tags["quokka.outcome"], p.tags["messaging.message.conversation_id"] = outcome, order
		if outcome == "handled" && service != "search-sync" {
			sql(p.id, service)
		}
		if service == "search-sync" {
			add("index of "+event, p.id, service, "index documents", trace.SpanKindClient, nil)
		}
		if service == "notification" {
			add("mail of "+event, p.id, service, "send mail", trace.SpanKindClient, nil)
		}
	}
	everywhere := func(event, inventory string) {
		process(event, "inventory", schemas.TopicOrders, inventory)
		process(event, "notification", schemas.TopicOrders, "handled")
		process(event, "search-sync", schemas.TopicOrders, "handled")
		for _, group := range schemas.Orders.Groups { // services made later
			if !slices.Contains([]string{"inventory", "notification", "search-sync"}, group) {
				process(event, group, schemas.TopicOrders, "handled")
			}
		}
	}
	add("post", "", "order", "POST /orders", trace.SpanKindServer, nil)
	sql("post", "order")
	send("placed", "post", "order", schemas.TopicOrders)
	everywhere("placed", "handled")
	send("reserved", "inventory placed", "inventory", schemas.TopicInventory)
	for _, group := range schemas.Inventory.Groups {
		process("reserved", group, schemas.TopicInventory, "handled")
	}
	send("confirmed", "order reserved", "order", schemas.TopicOrders)
	everywhere("confirmed", "unhandled")
	return s
}

// withBroker adds what the broker's tracing adds.
func withBroker(s *story) {
	for _, event := range []string{"placed", "reserved", "confirmed"} {
		sent := s.span("send " + event)
		topic := sent.tags["messaging.destination.name"]
		tags := maps.Clone(sent.tags)
		delete(tags, "messaging.message.id")
		s.spans = append(s.spans,
			&span{id: "broker " + event, parent: sent.id, service: "broker", name: "produce " + topic, kind: trace.SpanKindServer, tags: tags},
			&span{id: "append " + event, parent: "broker " + event, service: "broker", name: "append " + topic, kind: trace.SpanKindInternal},
			&span{id: "fsync " + event, parent: "broker " + event, service: "broker", name: "fsync " + topic, kind: trace.SpanKindInternal})
	}
}

var traceID = trace.TraceID{1}

func spanID(name string) (id trace.SpanID) {
	var h uint64 = 14695981039346656037 // FNV-1a
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	binary.BigEndian.PutUint64(id[:], h)
	return id
}

func (s *story) context(name string) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID(name), TraceFlags: trace.FlagsSampled})
}

// read stores the spans and asks for them by the query API.
func (s *story) read(t *testing.T) Trace {
	t.Helper()
	var stubs tracetest.SpanStubs
	began := time.Now()
	for i, span := range s.spans {
		stub := tracetest.SpanStub{
			Name: span.name, SpanContext: s.context(span.id), SpanKind: span.kind,
			StartTime: began.Add(time.Duration(i) * time.Millisecond), EndTime: began.Add(time.Duration(i+1) * time.Millisecond),
			Resource: resource.NewSchemaless(attribute.String("service.name", span.service)),
		}
		if span.parent != "" {
			stub.Parent = s.context(span.parent)
		}
		for _, name := range span.links {
			stub.Links = append(stub.Links, sdktrace.Link{SpanContext: s.context(name)})
		}
		for key, value := range span.tags {
			stub.Attributes = append(stub.Attributes, attribute.String(key, value))
		}
		if span.fails != "" {
			stub.Status = sdktrace.Status{Code: codes.Error, Description: span.fails}
		}
		stubs = append(stubs, stub)
	}
	store := tracestore.New(tracestore.Config{})
	if err := store.ExportSpans(t.Context(), stubs.Snapshots()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store.Handler())
	defer server.Close()
	got, err := Client{URL: server.URL}.Get(t.Context(), traceID.String())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestCheck: each defect is found, and what is none passes.
func TestCheck(t *testing.T) {
	retried := map[string]string{"quokka.outcome": "retried"}
	again := map[string]string{"quokka.redelivered": "true"}
	for _, c := range []struct {
		name  string
		spoil func(*story)
		want  string // in one of the problems; "": there is none
	}{
		{"whole", func(*story) {}, ""},
		{"whole, with the broker's tracing", withBroker, ""},
		{"tried again", func(s *story) {
			first := s.span("notification placed")
			first.fails = "no mail server"
			maps.Copy(first.tags, retried)
			s.span("mail of placed").fails = "no mail server"
			second := s.repeat("notification placed", map[string]string{"quokka.redelivered": "true", "quokka.outcome": "handled"})
			second.fails = ""
			s.spans = append(s.spans, &span{id: "second mail", parent: second.id, service: "notification", name: "send mail", kind: trace.SpanKindClient})
		}, ""},
		{"delivered again", func(s *story) {
			s.repeat("inventory placed", map[string]string{"quokka.redelivered": "true", "quokka.outcome": "duplicate"})
		}, ""},
		{"sent again", func(s *story) {
			// A second record of the same event, which everybody gets.
			sent := s.repeat("send confirmed", map[string]string{"quokka.redelivered": "true", "messaging.kafka.offset": "2"})
			r := s.records[2]
			r.Offset, r.Sender = 2, spanID(sent.id).String()
			s.records = append(s.records, r)
			for _, service := range schemas.Orders.Groups {
				p := s.repeat(service+" confirmed", map[string]string{"messaging.kafka.offset": "2"})
				p.parent, p.links = sent.id, []string{sent.id}
			}
		}, ""},
		{"another service takes the order up", func(s *story) {
			p := s.repeat("search-sync placed", nil)
			p.service, p.id = "stranger", "stranger placed"
			s.spans = append(s.spans, &span{id: "stranger sends", parent: p.id, service: "stranger", name: "send strangers.v1", kind: trace.SpanKindProducer,
				tags: map[string]string{"messaging.destination.name": "strangers.v1"}})
		}, "which is no hop of an order"}, // for its group is not declared to take orders.v1

		{"a span is missing that has children", func(s *story) { s.drop("send reserved") }, "that is not in the trace"},
		{"the root is missing", func(s *story) { s.drop("post") }, "0 roots instead of one"},
		{"a second root", func(s *story) { s.span("order reserved").parent = "" }, "2 roots instead of one"},
		{"another root", func(s *story) { s.span("post").name = "GET /" }, "the root is order: GET /"},
		{"a consumer is missing", func(s *story) { s.drop("search-sync confirmed") }, "search-sync: process orders.v1: 1 times, want 2"},
		{"a consumer of another event", func(s *story) {
			p := s.repeat("inventory placed", nil)
			p.name, p.service = "process orders.v1", "order"
		}, "order: process orders.v1: 1 times, which is no hop of an order"},
		{"an event too many", func(s *story) {
			s.repeat("send confirmed", map[string]string{"messaging.message.id": "another"})
		}, "order: process inventory.v1 → order: send orders.v1: 2 times, want 1"},
		{"processed twice without a mark", func(s *story) { s.repeat("inventory placed", nil) }, "repeated without being marked as redelivery"},
		{"sent twice without a mark", func(s *story) { s.repeat("send placed", nil) }, "repeated without being marked as redelivery"},
		{"never done", func(s *story) { maps.Copy(s.span("inventory placed").tags, retried) }, "never came to its end in 1 attempts"},
		{"a failure", func(s *story) { s.span("order reserved").fails = "boom" }, "ended in an error: boom"},
		{"a failure inside", func(s *story) { s.span("sql of post").fails = "boom" }, "SQL in order: POST /orders ended in an error: boom"},
		{"no link", func(s *story) { s.span("inventory placed").links = nil }, "is not linked to the span that sent"},
		{"no parent", func(s *story) { s.span("inventory confirmed").parent = "post" }, "is the child of order: POST /orders, not of the span that sent"},
		{"no SQL", func(s *story) { s.drop("sql of order reserved") }, "order: process inventory.v1 shows no SQL"},
		{"no index", func(s *story) { s.drop("index of placed"); s.drop("index of confirmed") }, "search-sync: process orders.v1 shows no index documents"},
		{"no mail", func(s *story) { s.drop("mail of confirmed") }, "notification: process orders.v1 shows no send mail"},
		{"a consumer's offset", func(s *story) { s.span("search-sync placed").tags["messaging.kafka.offset"] = "5" }, "search-sync: process orders.v1 is about orders.v1/2 offset 5, where the broker has no record"},
		{"a consumer's partition", func(s *story) { s.span("search-sync placed").tags["messaging.destination.partition.id"] = "0" }, "where the broker has no record"},
		{"offsets of two events swapped", func(s *story) { s.span("search-sync placed").tags["messaging.kafka.offset"] = "1" }, "whose record names another sender"},
		{"a producer's offset", func(s *story) { s.records[1].Offset = 8 }, "inventory: send inventory.v1 says that it sent to inventory.v1/2 offset 7, the broker has its record at inventory.v1/2 offset 8"},
		{"a record that nobody sent", func(s *story) { s.records[2].Sender = "ffffffffffffffff" }, "which is no send span of the trace"},
		{"another event's id", func(s *story) { s.records[2].ID = "x" }, "the broker has x at orders.v1/2 offset 1"},
		{"another order", func(s *story) { s.span("order reserved").tags["messaging.message.conversation_id"] = "other" }, `is about order "other"`},
		{"the broker's span of one record is missing", func(s *story) {
			withBroker(s)
			s.drop("fsync reserved")
			s.drop("append reserved")
			s.drop("broker reserved")
		},
			"inventory: send inventory.v1 → broker: produce inventory.v1: 0 times, want 1"},
		{"the broker's offset", func(s *story) { withBroker(s); s.span("broker placed").tags["messaging.kafka.offset"] = "3" }, "broker: produce orders.v1 is about orders.v1/2 offset 3"},
		{"the broker took it twice", func(s *story) { withBroker(s); s.repeat("broker placed", nil) }, "broker: produce orders.v1 of message  was repeated"},
		{"the broker took it again", func(s *story) { withBroker(s); s.repeat("broker placed", again) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := whole()
			c.spoil(s)
			problems := s.read(t).Check(order, s.records)
			switch {
			case c.want == "" && problems != nil:
				t.Errorf("problems:\n%s", strings.Join(problems, "\n"))
			case c.want != "" && !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, c.want) }):
				t.Errorf("%q is not in:\n%s", c.want, strings.Join(problems, "\n"))
			}
		})
	}
}

func TestComplete(t *testing.T) {
	s := whole()
	if !s.read(t).Complete() {
		t.Error("a whole trace is not complete")
	}
	s.drop("search-sync confirmed")
	if s.read(t).Complete() {
		t.Error("a trace without its last hop is complete")
	}
}

// TestQueued: time in queues is told apart from time at work. Each span of the
// sample lasts a millisecond and begins when the one listed before it ends.
func TestQueued(t *testing.T) {
	s := whole()
	again := s.repeat("order reserved", map[string]string{"quokka.redelivered": "true"})
	got := s.read(t)
	queued := got.Queued()
	at := func(id string) int { return slices.IndexFunc(s.spans, func(s *span) bool { return s.id == id }) }
	for id, after := range map[string]string{
		"send placed": "post", "inventory placed": "send placed", "send reserved": "inventory placed",
		"order reserved": "send reserved", again.id: "order reserved", "send confirmed": "order reserved",
	} {
		want := time.Duration(at(id)-at(after)-1) * time.Millisecond
		if d := queued[spanID(id).String()]; (d - want).Abs() > time.Microsecond {
			t.Errorf("%s was queued for %v, want %v", id, d, want)
		}
	}
	if len(queued) != len(s.records)+2*len(schemas.Orders.Groups)+len(schemas.Inventory.Groups)+1 { // and order tried twice
		t.Errorf("%d spans were queued: %v", len(queued), queued)
	}
	took, ok := got.Decision()
	total := time.Duration(at(again.id)+1) * time.Millisecond
	if !ok || (took.Total-total).Abs() > time.Microsecond || took.Outbox == 0 || took.Topics == 0 || took.Outbox+took.Topics >= took.Total {
		t.Errorf("decided: %v %+v, want %v in all", ok, took, total)
	}
	s.drop("order reserved")
	s.drop(again.id)
	if _, ok := s.read(t).Decision(); ok {
		t.Error("a decision that is not in the trace")
	}
}
