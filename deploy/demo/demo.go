// Package demo runs the whole platform once before the eyes of someone who
// wants to know what it does: start, place orders, wait until all have settled,
// count what arrived, say whether anything was lost.
package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/report"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/deploy/settle"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// Config says what to show.
type Config struct {
	Platform platform.Config
	// Orders is how many orders are placed, Seed which.
	Orders int
	Seed   uint64
	// Report is the file that gets the numbers as JSON; empty: none.
	Report string
	// Keep leaves the platform up afterwards, until the context ends.
	Keep bool
	// Out shows progress and result.
	Out *term.Printer
}

// Run runs the demo. The error is settle.ErrBroken if a promise was broken.
func Run(ctx context.Context, cfg Config) (err error) {
	out := cfg.Out
	begin := time.Now()
	out.Live("  starting broker, PostgreSQL and services …")
	p, err := platform.Start(ctx, cfg.Platform)
	if err != nil {
		out.Printf("")
		return err
	}
	defer func() {
		out.Live("  stopping …")
		stopErr := p.Stop()
		out.Printf("")
		err = errors.Join(err, stopErr)
	}()
	step(out, "ready", "%s", seconds(time.Since(begin)))

	// A part that fails ends the demo; its error says which, and why.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if failed := p.Wait(ctx); failed != nil {
			cancel(failed)
		}
	}()
	err = show(ctx, cfg, p)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err == nil && cfg.Keep {
		return keep(ctx, out, p)
	}
	return err
}

// show places the orders, waits and reports.
func show(ctx context.Context, cfg Config, p *platform.Platform) error {
	at := p.Running()
	placed, err := place(ctx, cfg, at)
	if err != nil {
		return err
	}
	collector, err := collect.New(Sources(at))
	if err != nil {
		return err
	}
	defer collector.Close()
	begin := time.Now()
	facts, verdict, err := settle.Await(ctx, settle.Config{
		Facts: collector.Facts,
		Seen:  func(f checker.Facts, v checker.Verdict) { progress(cfg.Out, placed, f, v) },
	})
	if err != nil {
		return err
	}
	if verdict.OK() {
		step(cfg.Out, "settled", "%s after the last order", seconds(time.Since(begin)))
	}
	run := report.Run{Indexed: collector.Indexed()}
	for _, o := range placed {
		run.Orders = append(run.Orders, report.Order{ID: o.OrderID, SentAt: o.SentAt})
	}
	r := report.Build(run, facts, verdict)
	r.Print(cfg.Out)
	printTrace(ctx, cfg, at, placed, facts)
	r.PrintVerdict(cfg.Out)
	if cfg.Report != "" {
		if err := r.Write(cfg.Report); err != nil {
			return err
		}
		cfg.Out.Printf("  report in %s\n", cfg.Report)
	}
	return settle.Broken(verdict)
}

// Sources are what the checker reads of a running platform.
func Sources(at platform.Running) collect.Sources {
	return collect.Sources{
		Brokers: at.Kafka, RegistryURL: at.RegistryURL, PostgresURL: at.PostgresURL,
		MailURL: at.MailURL, SearchURL: at.SearchSyncURL, LedgerDir: at.DataDir,
	}
}

func place(ctx context.Context, cfg Config, at platform.Running) ([]workload.Placed, error) {
	accepted, err := ledger.Open(at.DataDir)
	if err != nil {
		return nil, err
	}
	defer accepted.Close()
	var most atomic.Int64
	result, err := workload.Run(ctx, workload.Config{
		OrderURL: at.OrderURL, InventoryURL: at.InventoryURL, Ledger: accepted,
		Placed: func(done int) {
			// Workers finish in any order; the bar only grows.
			for seen := most.Load(); int64(done) > seen; seen = most.Load() {
				if most.CompareAndSwap(seen, int64(done)) {
					cfg.Out.Live("  placing   %s  %s of %s orders", term.Bar(done, cfg.Orders), term.Count(done), term.Count(cfg.Orders))
				}
			}
		},
	}, workload.NewPlan(cfg.Seed, cfg.Orders))
	if err != nil {
		return nil, err
	}
	step(cfg.Out, "placed", "%s orders in %s (seed %d): %d requests sent twice, %d orders cancelled, %d products renamed",
		term.Count(len(result.Orders)), seconds(result.Took), cfg.Seed, result.Resent, result.Cancels, result.Renames)
	return result.Orders, nil
}

// progress shows how many orders have settled, and what else is awaited.
func progress(out *term.Printer, placed []workload.Placed, f checker.Facts, v checker.Verdict) {
	ours := map[string]bool{}
	for _, o := range placed {
		ours[o.OrderID] = true
	}
	settled := 0
	for _, o := range f.Orders {
		if ours[o.ID] && o.Status != "pending" {
			settled++
		}
	}
	waiting := ""
	if n := len(v.Violations); n > 0 {
		waiting = fmt.Sprintf(", waiting for %s (%s)", v.Violations[0].Subject, v.Violations[0].Detail)
	}
	out.Live("  settling  %s  %s of %s%s", term.Bar(settled, len(ours)), term.Count(settled), term.Count(len(ours)), waiting)
}

// keep prints where to look and waits.
func keep(ctx context.Context, out *term.Printer, p *platform.Platform) error {
	out.Printf("\n")
	PrintLinks(out, p.Running())
	out.Printf("\n  up until Ctrl-C\n")
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// PrintLinks prints the addresses of a running platform.
func PrintLinks(out *term.Printer, at platform.Running) {
	var links [][2]string
	for _, s := range roster.Services() {
		links = append(links, [2]string{s.Name, at.Services[s.Name]})
	}
	links = append(links, [][2]string{
		{"traces", at.TracesURL}, {"mails", at.MailURL}, {"Kafka", at.KafkaText()}, {"registry", at.RegistryURL},
	}...)
	for _, link := range links {
		if link[1] != "" {
			out.Printf("  %s  %s\n", out.Paint(term.Dim, fmt.Sprintf("%-12s", link[0])), link[1])
		}
	}
	out.Printf("  %s  %s\n", out.Paint(term.Dim, fmt.Sprintf("%-12s", "PostgreSQL")), postgresHint(at))
}

// postgresHint says how to get at PostgreSQL without showing its password.
func postgresHint(at platform.Running) string {
	return "postgres_url in " + filepath.Join(at.DataDir, platform.RunningFile)
}

func step(out *term.Printer, name, format string, args ...any) {
	out.Printf("  %s  %s\n", out.Paint(term.Dim, fmt.Sprintf("%-9s", name)), fmt.Sprintf(format, args...))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
