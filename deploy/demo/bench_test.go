package demo

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/report"
	"github.com/quokka-stream/quokka/deploy/settle"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// BenchmarkSettle measures how long an order takes from its request to confirmed
// or rejected through the whole platform in one process, at 20 and 100 orders a
// second and as fast as eight clients get answers. It runs at least 100 orders,
// and fails if a promise is broken.
func BenchmarkSettle(b *testing.B) {
	for _, bench := range []struct {
		name string
		rate float64
	}{{"20 a second", 20}, {"100 a second", 100}, {"flat out", 0}} {
		b.Run(bench.name, func(b *testing.B) {
			dir, err := platform.TemporaryDir()
			if err != nil {
				b.Fatal(err)
			}
			p, err := platform.Start(b.Context(), platform.Config{DataDir: dir, Temporary: true, FreePorts: true})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := p.Stop(); err != nil {
					b.Error(err)
				}
			}()
			b.ResetTimer()
			r := measure(b, p.Running(), max(b.N, 100), bench.rate)
			b.ReportMetric(0, "ns/op") // of a paced load it says nothing
			b.ReportMetric(r.OrdersPerSecond, "orders/s")
			b.ReportMetric(r.SettleP50ms, "p50-ms")
			b.ReportMetric(r.SettleP99ms, "p99-ms")
		})
	}
}

func measure(b *testing.B, at platform.Running, orders int, rate float64) report.Report {
	b.Helper()
	accepted, err := ledger.Open(at.DataDir)
	if err != nil {
		b.Fatal(err)
	}
	defer accepted.Close()
	var begin atomic.Pointer[time.Time]
	result, err := workload.Run(b.Context(), workload.Config{
		OrderURL: at.OrderURL, InventoryURL: at.InventoryURL, Ledger: accepted,
		Placed: func(done int) {
			now := time.Now()
			begin.CompareAndSwap(nil, &now)
			if rate > 0 {
				time.Sleep(time.Until(begin.Load().Add(time.Duration(float64(done) / rate * float64(time.Second)))))
			}
		},
	}, workload.NewPlan(1, orders))
	if err != nil {
		b.Fatal(err)
	}
	collector, err := collect.New(Sources(at))
	if err != nil {
		b.Fatal(err)
	}
	defer collector.Close()
	facts, verdict := await(b.Context(), b, collector)
	if !verdict.OK() {
		b.Fatal(settle.Broken(verdict))
	}
	run := report.Run{}
	for _, o := range result.Orders {
		run.Orders = append(run.Orders, report.Order{ID: o.OrderID, SentAt: o.SentAt})
	}
	return report.Build(run, facts, verdict)
}

func await(ctx context.Context, b *testing.B, c *collect.Collector) (checker.Facts, checker.Verdict) {
	b.Helper()
	facts, verdict, err := settle.Await(ctx, settle.Config{Facts: c.Facts, Every: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	return facts, verdict
}
