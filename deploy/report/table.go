package report

import (
	"fmt"
	"strings"

	"github.com/quokka-stream/quokka/deploy/term"
)

// Print prints the table.
func (r Report) Print(p *term.Printer) {
	row := func(label, format string, args ...any) {
		p.Printf("  %s  %s\n", p.Paint(term.Dim, fmt.Sprintf("%-9s", label)), fmt.Sprintf(format, args...))
	}
	p.Printf("\n")
	placed := p.Paint(term.Bold, term.Count(r.OrdersPlaced))
	if r.LostOrders == 0 {
		row("orders", "%s placed and settled in %.2f s, %.0f a second", placed, r.Seconds, r.OrdersPerSecond)
	} else {
		row("orders", "%s placed, not all settled after %.2f s", placed, r.Seconds)
	}
	width := len(term.Count(max(r.OrdersConfirmed, r.OrdersRejected, r.OrdersCancelled)))
	for _, outcome := range []struct {
		name  string
		count int
	}{{"confirmed", r.OrdersConfirmed}, {"rejected", r.OrdersRejected}, {"cancelled", r.OrdersCancelled}} {
		row("", "%*s %s", width, term.Count(outcome.count), outcome.name)
	}
	row("settling", "p50 %s, p99 %s from the request to confirmed or rejected", millis(r.SettleP50ms), millis(r.SettleP99ms))
	p.Printf("\n")
	for _, line := range columns(r.Partitions) {
		row(line[0], "%s", line[1])
	}
	mails := fmt.Sprintf("%s, one for each event", term.Count(r.EmailsSent))
	if r.MailRedeliveries > 0 {
		mails += fmt.Sprintf(", %s delivered again", term.Count(r.MailRedeliveries))
	}
	row("mails", "%s", mails)
	var indexed []string
	for _, kind := range []string{"products", "customers", "orders", "logs"} {
		if n, ok := r.Indexed[kind]; ok {
			indexed = append(indexed, term.Count(n)+" "+strings.Replace(kind, "logs", "log lines", 1))
		}
	}
	if len(indexed) > 0 {
		row("index", "%s", strings.Join(indexed, " · "))
	}
}

// PrintVerdict prints the checker's line.
func (r Report) PrintVerdict(p *term.Printer) {
	p.Printf("\n  %s\n", PaintVerdict(p, r.Verdict, len(r.Violations) == 0))
}

// PaintVerdict is the checker's line, green if it is good.
func PaintVerdict(p *term.Printer, line string, ok bool) string {
	if ok {
		return p.Paint(term.Green, "✓ "+line)
	}
	return p.Paint(term.Red, "✗ "+line)
}

// columns aligns the partition counts of several topics under each other.
func columns(topics []TopicCounts) [][2]string {
	width, most := 0, 0
	for _, t := range topics {
		for _, n := range t.Partitions {
			width = max(width, len(term.Count(n)))
		}
		most = max(most, len(t.Partitions))
	}
	names := 0
	for _, t := range topics {
		names = max(names, len(t.Topic))
	}
	var out [][2]string
	for i, t := range topics {
		sum := 0
		var cells []string
		for _, n := range t.Partitions {
			sum += n
			cells = append(cells, fmt.Sprintf("%*s", width, term.Count(n)))
		}
		label := ""
		if i == 0 {
			label = "records"
		}
		line := fmt.Sprintf("%-*s  %*s  by partition  %s", names, t.Topic, width+2, term.Count(sum), strings.Join(cells, "  "))
		out = append(out, [2]string{label, strings.TrimRight(line, " ")})
	}
	return out
}

func millis(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
