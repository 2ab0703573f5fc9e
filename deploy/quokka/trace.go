package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/demo"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/deploy/tracequery"
)

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
	t, err := client.Get(ctx, id)
	if errors.Is(err, tracequery.ErrNotFound) {
		return fmt.Errorf("order %s has trace %s, which is no longer kept at %s: the embedded store keeps the newest traces, until the platform stops", c.Order, id, at.TracesURL)
	}
	if err != nil {
		return err
	}
	printTrace(out.out, t, c.All)
	out.out.Printf("\n  %s\n", client.Link(id))
	return nil
}

// line is a row of the printed trace: a hop with the inner work done in it, or
// any span.
type line struct {
	tracequery.Node
	inner map[string]int // kinds of inner work, counted
}

// lines lists what to print: all spans, or the hops with their inner work.
func lines(t tracequery.Trace, all bool) []line {
	var out []line
	var hops []int // the rows of the hops above, by depth in the tree
	for _, n := range t.Tree() {
		hops = slices.DeleteFunc(hops, func(row int) bool { return out[row].Depth >= n.Depth })
		if hop := n.Kind != "client" && n.Kind != "internal"; !all && !hop && len(hops) > 0 {
			row := &out[hops[len(hops)-1]]
			row.inner[work(n.Span)]++
			if n.Error != "" {
				row.Error = n.Name + ": " + n.Error
			}
			continue
		}
		out = append(out, line{n, map[string]int{}})
		hops = append(hops, len(out)-1)
	}
	if all {
		return out
	}
	// Indent by hops, not by the spans left out between them.
	var above []int
	for i := range out {
		above = slices.DeleteFunc(above, func(depth int) bool { return depth >= out[i].Depth })
		above = append(above, out[i].Depth)
		out[i].Depth = len(above) - 1
	}
	return out
}

// work names the kind of an inner span: its statements are SQL, others by name.
func work(s tracequery.Span) string {
	if s.Tags["db.system"] != "" || s.Tags["db.system.name"] != "" {
		return "SQL"
	}
	return s.Name
}

func printTrace(p *term.Printer, t tracequery.Trace, all bool) {
	rows := lines(t, all)
	service, name := 0, 0
	for _, r := range rows {
		service, name = max(service, len(r.Service)), max(name, 2*r.Depth+len([]rune(spanName(r.Name))))
	}
	for _, r := range rows {
		var inner []string
		for kind, n := range r.inner {
			if n > 1 || kind == "SQL" {
				kind = fmt.Sprintf("%d %s", n, kind)
			}
			inner = append(inner, kind)
		}
		slices.Sort(inner)
		indented := strings.Repeat("  ", r.Depth) + spanName(r.Name)
		text := fmt.Sprintf("  %10s  %-*s  %-*s  %9s", "+"+millis(r.Start.Sub(t.Spans[0].Start)), service, r.Service,
			name, indented, millis(r.Duration))
		switch {
		case r.Error != "":
			p.Printf("%s\n", p.Paint(term.Red, text+"  "+r.Error))
		case len(inner) > 0:
			p.Printf("%s  %s\n", text, p.Paint(term.Dim, strings.Join(inner, ", ")))
		default:
			p.Printf("%s\n", text)
		}
	}
}

// spanName keeps long SQL out of the table's way.
func spanName(name string) string {
	const most = 60
	name = strings.Join(strings.Fields(name), " ")
	if runes := []rune(name); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return name
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
