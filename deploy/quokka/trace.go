package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/deploy/demo"
	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// spansOnTheirWay is how long the trace of an order that was just placed may stand
// still before it has every hop: spans are sent in batches, some time after their end.
const spansOnTheirWay = 5 * time.Second

type traceCmd struct {
	Order string `arg:"" help:"The order's id."`
	All   bool   `help:"Show every span, not only the hops."`
	target
	TracesAt string `name:"traces-url" env:"QUOKKA_TRACES_URL" placeholder:"URL" help:"Its traces: Jaeger's query API."`
}

func (c *traceCmd) Run(ctx context.Context, out *output) error {
	at, err := c.running()
	if err != nil {
		return err
	}
	at.TracesURL = cmp.Or(c.TracesAt, at.TracesURL)
	events, err := orderEvents(ctx, at, c.Order)
	if err != nil {
		return err
	}
	id := demo.TraceID(events[0].TraceParent)
	if id == "" {
		return fmt.Errorf("order %s was not traced: its event has no traceparent header", c.Order)
	}
	if at.TracesURL == "" {
		return fmt.Errorf("order %s has trace %s; where traces are kept is not known: name it with --traces-url", c.Order, id)
	}
	client := tracequery.Client{URL: at.TracesURL}
	patience := spansOnTheirWay
	if time.Since(events[0].OccurredAt) > time.Minute {
		patience = 0
	}
	t, err := client.Await(ctx, id, patience, tracequery.Trace.Complete)
	if errors.Is(err, tracequery.ErrNotFound) {
		return fmt.Errorf("order %s has trace %s, which is no longer kept at %s: the embedded store keeps the newest traces, until the platform stops", c.Order, id, at.TracesURL)
	}
	if err != nil {
		return err
	}
	printTrace(out.out, t, c.All)
	if text := outcome(t, events); text != "" {
		out.out.Printf("\n  %s", text)
	}
	out.out.Printf("\n  %s\n", client.Link(id))
	return nil
}
