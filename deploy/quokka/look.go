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
)

// target says which running platform to look into: the one of a data directory,
// or the one at the given addresses.
type target struct {
	DataDir  string   `default:".quokka" env:"QUOKKA_DATA_DIR" type:"path" help:"Data directory of the running platform."`
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
