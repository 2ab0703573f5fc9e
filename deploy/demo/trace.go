package demo

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/tracequery"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// printTrace shows what the trace of one confirmed order holds, and where to
// see it. A link is printed only if it leads somewhere once it is read.
func printTrace(ctx context.Context, cfg Config, at platform.Running, placed []workload.Placed, facts checker.Facts) {
	if at.TracesURL == "" {
		return
	}
	order, trace := example(placed, facts)
	if trace == "" {
		return
	}
	client := tracequery.Client{URL: at.TracesURL}
	t, err := client.Await(ctx, trace, SpansLate, tracequery.Trace.Complete)
	if err != nil {
		step(cfg.Out, "trace", "of order %s: %v", order, err)
		return
	}
	services := map[string]bool{}
	var end time.Time
	for _, s := range t.Spans {
		services[s.Service] = true
		if e := s.Start.Add(s.Duration); e.After(end) {
			end = e
		}
	}
	found := fmt.Sprintf("order %s: %d spans of %d services in %.0f ms", order, len(t.Spans), len(services), float64(end.Sub(t.Spans[0].Start))/1e6)
	step(cfg.Out, "trace", "%s", found)
	if cfg.Keep || cfg.Platform.OTLP != "" {
		step(cfg.Out, "", "%s", client.Link(trace))
	} else {
		step(cfg.Out, "", "to open it, keep the platform up: quokka demo --keep")
	}
}

// SpansLate is how long after the others the last spans of an order may reach the
// store: exporters send them in batches.
const SpansLate = 15 * time.Second

// example returns a confirmed order of the run with its trace id. Its trace is
// recorded: with QUOKKA_TRACE_RATIO below 1 others are never to be found.
func example(placed []workload.Placed, facts checker.Facts) (order, trace string) {
	traces := map[string]string{}
	for _, e := range facts.Events {
		if e.Type == checker.Placed && recorded(e.TraceParent) {
			traces[e.OrderID] = TraceID(e.TraceParent)
		}
	}
	for i := len(placed) - 1; i >= 0; i-- {
		if id := placed[i].OrderID; placed[i].Fate == workload.Fulfilled && traces[id] != "" {
			return id, traces[id]
		}
	}
	return "", ""
}

// TraceID returns the trace id of a traceparent header, or nothing.
func TraceID(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 {
		return ""
	}
	return parts[1]
}

// recorded reads the sampled flag of a traceparent header.
func recorded(traceparent string) bool {
	flags, err := hex.DecodeString(traceparent[strings.LastIndexByte(traceparent, '-')+1:])
	return err == nil && len(flags) == 1 && flags[0]&1 == 1
}
