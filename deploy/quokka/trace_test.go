package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// sample is a request with SQL that sends a record which another service processes.
func sample() tracequery.Trace {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	span := func(id, parent, service, name, kind string, after, took int, tags map[string]string) tracequery.Span {
		return tracequery.Span{
			ID: id, Parent: parent, Service: service, Name: name, Kind: kind, Tags: tags,
			Start: begin.Add(time.Duration(after) * time.Millisecond), Duration: time.Duration(took) * time.Millisecond,
		}
	}
	message := map[string]string{"messaging.message.id": "m"}
	again := map[string]string{"messaging.message.id": "m", "quokka.redelivered": "true"}
	sql := map[string]string{"db.system.name": "postgresql"}
	t := tracequery.Trace{ID: "t", Spans: []tracequery.Span{
		span("1", "", "order", "POST /orders", "server", 0, 10, nil),
		span("2", "1", "order", "INSERT", "client", 2, 1, sql),
		span("3", "2", "order", "INSERT", "client", 2, 1, sql),
		span("4", "3", "order", "send orders.v1", "producer", 12, 1, nil),
		span("5", "4", "inventory", "process orders.v1", "consumer", 14, 5, message),
		span("6", "5", "inventory", "send mail", "client", 15, 3, nil),
		span("7", "4", "inventory", "process orders.v1", "consumer", 25, 2, again),
		span("8", "7", "inventory", "send mail", "client", 26, 1, nil),
	}}
	t.Spans[5].Error = "no route"
	return t
}

func TestPrintTrace(t *testing.T) {
	var hops, all bytes.Buffer
	printTrace(term.New(&hops), sample(), false)
	printTrace(term.New(&all), sample(), true)
	const wantHops = `          at     queued       work
     +0.0 ms               10.0 ms  order      POST /orders           2 SQL
    +12.0 ms     2.0 ms     1.0 ms  order        send orders.v1
    +14.0 ms     1.0 ms     5.0 ms  inventory      process orders.v1  send mail: no route
    +25.0 ms     6.0 ms     2.0 ms  inventory      process orders.v1  redelivered, send mail 1.0 ms
`
	const wantAll = `          at     queued       work
     +0.0 ms               10.0 ms  order      POST /orders
     +2.0 ms                1.0 ms  order        INSERT
     +2.0 ms                1.0 ms  order          INSERT
    +12.0 ms     2.0 ms     1.0 ms  order            send orders.v1
    +14.0 ms     1.0 ms     5.0 ms  inventory          process orders.v1
    +15.0 ms                3.0 ms  inventory            send mail        no route
    +25.0 ms     6.0 ms     2.0 ms  inventory          process orders.v1  redelivered
    +26.0 ms                1.0 ms  inventory            send mail
`
	if d := cmp.Diff(wantHops, hops.String()); d != "" {
		t.Errorf("hops: %s\n%s", d, hops.String())
	}
	if d := cmp.Diff(wantAll, all.String()); d != "" {
		t.Errorf("all: %s\n%s", d, all.String())
	}
}

func TestParseInstant(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": now, "now": now, "90s": now.Add(-90 * time.Second), "-1h": now.Add(-time.Hour),
		"2026-01-01T00:00:00Z":        time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-01-01T01:00:00.5+01:00": time.Date(2026, 1, 1, 0, 0, 0, 5e8, time.UTC),
	} {
		if got, err := parseInstant(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}
