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
	client := tracequery.Client{URL: at.TracesURL}
	problems, gone := make([][]string, len(placed)), make([]bool, len(placed))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, e := range placed {
		g.Go(func() error {
			id := demo.TraceID(e.TraceParent)
			t, err := client.Get(ctx, id)
			if err == nil && time.Since(e.OccurredAt) < time.Minute {
				t, err = client.Settled(ctx, id, 200*time.Millisecond) // its last spans may be on their way
			}
			if errors.Is(err, tracequery.ErrNotFound) {
				gone[i] = true
				return nil
			}
			for _, problem := range append(t.Problems(), t.Missing(tracequery.OrderHops())...) {
				problems[i] = append(problems[i], fmt.Sprintf("order %s, trace %s: %s", e.OrderID, id, problem))
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	missing := len(slices.DeleteFunc(gone, func(g bool) bool { return !g }))
	out.out.Printf("  %s traces checked, %s no longer kept\n", term.Count(len(placed)-missing), term.Count(missing))
	if broken := slices.Concat(problems...); len(broken) > 0 {
		return fmt.Errorf("traces are not whole:\n  %s", strings.Join(broken[:min(len(broken), 25)], "\n  "))
	}
	return nil
}

// traced returns the OrderPlaced events of traced orders that were not
// cancelled, the newest first.
func traced(facts checker.Facts) []checker.Event {
	cancelled := map[string]bool{}
	var placed []checker.Event
	for _, e := range facts.Events {
		switch e.Type {
		case checker.Placed:
			placed = append(placed, e)
		case checker.Cancelled:
			cancelled[e.OrderID] = true
		}
	}
	placed = slices.DeleteFunc(placed, func(e checker.Event) bool {
		return cancelled[e.OrderID] || demo.TraceID(e.TraceParent) == ""
	})
	slices.SortFunc(placed, func(a, b checker.Event) int { return b.OccurredAt.Compare(a.OccurredAt) })
	return placed
}
