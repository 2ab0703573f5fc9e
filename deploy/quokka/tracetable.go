package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// line is a row of the printed trace: a hop with the inner work done in it, or
// any span.
type line struct {
	tracequery.Node
	inner map[string]inner // by kind
}

// inner is work of one kind within a hop.
type inner struct {
	times int
	took  time.Duration
}

// text is how it is printed. Statements are counted; some contain others, so that
// their times do not add up.
func (i inner) text(kind string) string {
	switch {
	case kind == tracequery.SQL:
		return fmt.Sprintf("%d %s", i.times, kind)
	case i.times > 1:
		return fmt.Sprintf("%d %s %s", i.times, kind, millis(i.took))
	}
	return kind + " " + millis(i.took)
}

// lines lists what to print: all spans, or the hops with their inner work.
func lines(t tracequery.Trace, all bool) []line {
	var out []line
	var hops []int // the rows of the hops above, by depth in the tree
	for _, n := range t.Tree() {
		hops = slices.DeleteFunc(hops, func(row int) bool { return out[row].Depth >= n.Depth })
		if hop := n.Kind != "client" && n.Kind != "internal"; !all && !hop && len(hops) > 0 {
			row := &out[hops[len(hops)-1]]
			kind := tracequery.Work(n.Span)
			sum := row.inner[kind]
			row.inner[kind] = inner{sum.times + 1, sum.took + n.Duration}
			if n.Error != "" {
				row.Error = n.Name + ": " + n.Error
			}
			continue
		}
		out = append(out, line{n, map[string]inner{}})
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

// printTrace prints a row for each hop: when it began, how long its message had
// waited for it, and how long it worked.
func printTrace(p *term.Printer, t tracequery.Trace, all bool) {
	rows := lines(t, all)
	service, name := 0, 0
	for _, r := range rows {
		service, name = max(service, len(r.Service)), max(name, 2*r.Depth+len([]rune(spanName(r.Name))))
	}
	queued := t.Queued()
	p.Printf("%s\n", p.Paint(term.Dim, fmt.Sprintf("  %10s  %9s  %9s", "at", "queued", "work")))
	for _, r := range rows {
		var notes []string
		if r.Tags["quokka.redelivered"] == "true" {
			notes = append(notes, "redelivered")
		}
		for _, kind := range slices.Sorted(maps.Keys(r.inner)) {
			notes = append(notes, r.inner[kind].text(kind))
		}
		indented := strings.Repeat("  ", r.Depth) + spanName(r.Name)
		waited := ""
		if d, ok := queued[r.ID]; ok {
			waited = millis(d)
		}
		text := fmt.Sprintf("  %10s  %9s  %9s  %-*s  %-*s", "+"+millis(r.Start.Sub(t.Spans[0].Start)), waited, millis(r.Duration),
			service, r.Service, name, indented)
		switch {
		case r.Error != "":
			p.Printf("%s\n", p.Paint(term.Red, text+"  "+r.Error))
		case len(notes) > 0:
			p.Printf("%s  %s\n", text, p.Paint(term.Dim, strings.Join(notes, ", ")))
		default:
			p.Printf("%s\n", strings.TrimRight(text, " "))
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

// outcome says how long the order took to be decided, and where that time went.
func outcome(t tracequery.Trace, events []collect.OrderEvent) string {
	decided := ""
	for _, e := range events {
		switch e.Type {
		case checker.Confirmed:
			decided = "confirmed"
		case checker.Rejected:
			decided = "rejected"
		}
	}
	took, ok := t.Decision()
	if decided == "" || !ok {
		return ""
	}
	return fmt.Sprintf("%s after %s: %s at work, %s in queues (%s in outboxes, %s in topics)\n", decided,
		millis(took.Total), millis(took.Total-took.Outbox-took.Topics), millis(took.Outbox+took.Topics), millis(took.Outbox), millis(took.Topics))
}
