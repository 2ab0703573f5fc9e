package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/demo"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/report"
	"github.com/quokka-stream/quokka/deploy/settle"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// target says which running platform to look into: the one of a data directory,
// or the one at the given addresses.
type target struct {
	DataDir  string   `default:".quokka" type:"path" help:"Data directory of the running platform."`
	Kafka    []string `env:"QUOKKA_KAFKA_BROKERS" placeholder:"ADDR" help:"Its Kafka, if not as in the data directory."`
	Registry string   `env:"QUOKKA_REGISTRY_URL" placeholder:"URL" help:"Its schema registry."`
}

// running finds the platform.
func (t target) running() (platform.Running, error) {
	at, err := platform.Load(t.DataDir)
	var missing *platform.NotRunningError
	if errors.As(err, &missing) && len(t.Kafka) > 0 && t.Registry != "" {
		// Its data directory may be elsewhere; a ledger here counts all the same.
		at, err = platform.Running{DataDir: t.DataDir}, nil
	}
	if len(t.Kafka) > 0 {
		at.Kafka = t.Kafka
	}
	at.RegistryURL = cmp.Or(t.Registry, at.RegistryURL)
	return at, err
}

type verifyCmd struct {
	target
	Postgres string        `env:"QUOKKA_POSTGRES_URL" placeholder:"URL" help:"Its PostgreSQL."`
	Mail     string        `env:"QUOKKA_MAIL_URL" placeholder:"URL" help:"Its mail sink: this one, or a Mailpit."`
	Search   string        `env:"QUOKKA_SEARCH_SYNC_URL" placeholder:"URL" help:"Its search-sync service."`
	Traces   bool          `help:"Also check that the newest orders have whole traces."`
	TracesAt string        `name:"traces-url" env:"QUOKKA_TRACES_URL" placeholder:"URL" help:"Its traces."`
	Newest   int           `default:"100" help:"How many traces to check."`
	Wait     time.Duration `default:"1m" help:"How long orders may take to settle."`
}

func (c *verifyCmd) Run(ctx context.Context, out *output) error {
	at, err := c.running()
	if err != nil {
		return err
	}
	at.PostgresURL = cmp.Or(c.Postgres, at.PostgresURL)
	at.MailURL = cmp.Or(c.Mail, at.MailURL)
	at.SearchSyncURL = cmp.Or(c.Search, at.SearchSyncURL)
	at.TracesURL = cmp.Or(c.TracesAt, at.TracesURL)
	if at.PostgresURL == "" {
		return errors.New("name the platform's PostgreSQL with --postgres or QUOKKA_POSTGRES_URL")
	}
	collector, err := collect.New(demo.Sources(at))
	if err != nil {
		return err
	}
	defer collector.Close()
	facts, verdict, err := settle.Await(ctx, settle.Config{
		Facts: collector.Facts, Wait: c.Wait,
		Seen: func(_ checker.Facts, v checker.Verdict) {
			if !v.OK() {
				out.out.Live("  waiting for %d to settle, first %s (%s)", len(v.Violations), v.Violations[0].Subject, v.Violations[0].Detail)
			}
		},
	})
	if err != nil {
		out.out.Printf("")
		return err
	}
	out.out.Printf("  %s orders, %s events, %s mails\n  %s\n",
		term.Count(len(facts.Orders)), term.Count(len(facts.Events)), term.Count(len(facts.Mails)),
		report.PaintVerdict(out.out, verdict.Line(), verdict.OK()))
	if at.MailURL == "" || at.SearchSyncURL == "" {
		out.out.Printf("  not looked at: %s\n", strings.Join(slices.DeleteFunc([]string{
			map[bool]string{true: "mails (--mail)"}[at.MailURL == ""], map[bool]string{true: "the index (--search)"}[at.SearchSyncURL == ""],
		}, func(s string) bool { return s == "" }), ", "))
	}
	if err := settle.Broken(verdict); err != nil || !c.Traces {
		return err
	}
	return c.verifyTraces(ctx, out, at, facts)
}

// verifyTraces checks the traces of the newest orders that were not cancelled:
// their story is told in one trace.
func (c *verifyCmd) verifyTraces(ctx context.Context, out *output, at platform.Running, facts checker.Facts) error {
	if at.TracesURL == "" {
		return errors.New("the platform's traces are not known: name them with --traces-url")
	}
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
	slices.SortFunc(placed, func(a, b checker.Event) int { return b.OccurredAt.Compare(a.OccurredAt) })
	client := tracequery.Client{URL: at.TracesURL}
	checked, gone := 0, 0
	var broken []string
	for _, e := range placed {
		id := demo.TraceID(e.TraceParent)
		if cancelled[e.OrderID] || id == "" {
			continue
		}
		if checked+gone == c.Newest {
			break
		}
		t, err := client.Settled(ctx, id, 200*time.Millisecond)
		if errors.Is(err, tracequery.ErrNotFound) {
			gone++
			continue
		}
		if err != nil {
			return err
		}
		checked++
		for _, problem := range append(t.Problems(), t.Missing(tracequery.OrderHops())...) {
			broken = append(broken, fmt.Sprintf("order %s, trace %s: %s", e.OrderID, id, problem))
		}
	}
	out.out.Printf("  %s traces checked, %s no longer kept\n", term.Count(checked), term.Count(gone))
	if len(broken) > 0 {
		return fmt.Errorf("traces are not whole:\n  %s", strings.Join(broken[:min(len(broken), 25)], "\n  "))
	}
	return nil
}

type traceCmd struct {
	Order string `arg:"" help:"The order's id."`
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
	printTrace(out.out, t)
	out.out.Printf("\n  %s\n", client.Link(id))
	return nil
}

// printTrace prints the spans as a tree, SQL and other inner work dimmed.
func printTrace(p *term.Printer, t tracequery.Trace) {
	nodes := t.Tree()
	service, name := 0, 0
	for _, n := range nodes {
		service, name = max(service, len(n.Service)), max(name, 2*n.Depth+len([]rune(spanName(n.Name))))
	}
	for _, n := range nodes {
		line := fmt.Sprintf("  %9s  %-*s  %-*s  %9s", after(n.Start.Sub(t.Spans[0].Start)), service, n.Service,
			name, strings.Repeat("  ", n.Depth)+spanName(n.Name), millis(n.Duration))
		switch {
		case n.Error != "":
			p.Printf("%s\n", p.Paint(term.Red, line+"  "+n.Error))
		case n.Kind == "client" || n.Kind == "internal":
			p.Printf("%s\n", p.Paint(term.Dim, line))
		default:
			p.Printf("%s\n", line)
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

func after(d time.Duration) string { return "+" + millis(d) }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// orderEvents reads an order's events from orders.v1, by version.
func orderEvents(ctx context.Context, at platform.Running, order string) ([]collect.OrderEvent, error) {
	collector, err := collect.New(demo.Sources(at))
	if err != nil {
		return nil, err
	}
	defer collector.Close()
	events, err := collector.Order(ctx, order)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("there is no order %s on orders.v1", order)
	}
	return events, nil
}
