package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/demo"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// verifyTraces checks the traces of the newest orders that were not cancelled:
// their story is told in one trace.
func (c *verifyCmd) verifyTraces(ctx context.Context, out *output, at platform.Running, facts checker.Facts) error {
	if at.TracesURL == "" {
		return errors.New("the platform's traces are not known: name them with --traces-url")
	}
	placed := traced(facts)
	placed = placed[:min(len(placed), c.Newest)]
	if len(placed) == 0 {
		return errors.New("there is no order with a trace: place some first, as with quokka load (a cancelled order has two traces, which are not looked at)")
	}
	records := recordsByOrder(facts)
	client := tracequery.Client{URL: at.TracesURL}
	problems, gone := make([][]string, len(placed)), make([]bool, len(placed))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, e := range placed {
		g.Go(func() error {
			id := demo.TraceID(e.TraceParent)
			found, err := checkTrace(ctx, client, id, e, records[e.OrderID])
			if errors.Is(err, tracequery.ErrNotFound) {
				// What an earlier run placed may have gone with its store.
				if gone[i] = e.OccurredAt.Before(at.Started); gone[i] {
					return nil
				}
				found, err = []string{"the backend does not have it"}, nil
			}
			for _, problem := range found {
				problems[i] = append(problems[i], fmt.Sprintf("order %s, trace %s: %s", e.OrderID, id, problem))
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	missing := len(slices.DeleteFunc(gone, func(g bool) bool { return !g }))
	checked := len(placed) - missing
	broken := len(slices.DeleteFunc(slices.Clone(problems), func(p []string) bool { return len(p) == 0 }))
	out.out.Printf("  traces: %s of %s orders are one trace each, with every hop once and the broker's offsets\n", term.Count(checked-broken), term.Count(checked))
	if missing > 0 {
		out.out.Printf("  %s older ones are no longer kept\n", term.Count(missing))
	}
	if checked == 0 {
		return fmt.Errorf("no trace was checked: %s has none of the orders", at.TracesURL)
	}
	if broken > 0 {
		all := slices.Concat(problems...)
		return fmt.Errorf("%d traces are not whole:\n  %s", broken, strings.Join(all[:min(len(all), 25)], "\n  "))
	}
	return nil
}

// checkTrace returns what is wrong with an order's trace. While the trace still
// grows, its problems do not count.
func checkTrace(ctx context.Context, client tracequery.Client, id string, placed checker.Event, records []tracequery.Record) ([]string, error) {
	patience := demo.SpansLate
	if time.Since(placed.OccurredAt) > time.Minute {
		patience = 0
	}
	var problems []string
	_, err := client.Await(ctx, id, patience, func(t tracequery.Trace) bool {
		problems = t.Check(placed.OrderID, records)
		return len(problems) == 0
	})
	return problems, err
}

// recordsByOrder are the records that belong to the trace of each order's
// placement.
func recordsByOrder(facts checker.Facts) map[string][]tracequery.Record {
	trace := map[string]string{}
	for _, e := range facts.Events {
		if e.Type == checker.Placed {
			trace[e.OrderID] = demo.TraceID(e.TraceParent)
		}
	}
	out := map[string][]tracequery.Record{}
	for _, e := range slices.Concat(facts.Events, facts.StockEvents) {
		if id := demo.TraceID(e.TraceParent); id != "" && id == trace[e.OrderID] {
			out[e.OrderID] = append(out[e.OrderID], tracequery.Record{
				Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, ID: e.ID, Sender: strings.Split(e.TraceParent, "-")[2],
			})
		}
	}
	return out
}

// traced returns the OrderPlaced events of traced orders that were not
// cancelled, each order once, the newest first.
func traced(facts checker.Facts) []checker.Event {
	left := map[string]bool{}
	for _, e := range facts.Events {
		if e.Type == checker.Cancelled {
			left[e.OrderID] = true
		}
	}
	var placed []checker.Event
	for _, e := range facts.Events {
		if e.Type == checker.Placed && !left[e.OrderID] && demo.TraceID(e.TraceParent) != "" {
			left[e.OrderID] = true // sent again, it is on the topic twice
			placed = append(placed, e)
		}
	}
	slices.SortFunc(placed, func(a, b checker.Event) int { return b.OccurredAt.Compare(a.OccurredAt) })
	return placed
}
