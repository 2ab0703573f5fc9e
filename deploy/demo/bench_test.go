package demo

import (
	"fmt"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/kafka"
	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/report"
	"github.com/quokka-stream/quokka/deploy/settle"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// flatOut is how many orders are placed as fast as eight clients get answers to
// find what a platform sustains; steady is how long a given rate is kept up.
const (
	flatOut = 3000
	steady  = 20 * time.Second
)

// BenchmarkSettle measures the whole platform in one process, load included:
// the orders a second that it sustains, from the first request to the last
// confirmation, and how long an order takes from the moment it is due to
// confirmed or rejected at 100 a second and at half and 80 % of what it
// sustains. It does so on the embedded broker and, where Java and Maven are, on
// Apache Kafka; ratio is the embedded broker's figure over Apache Kafka's. A
// broken promise fails it.
func BenchmarkSettle(b *testing.B) {
	embedded := map[string]float64{}
	b.Run("embedded", func(b *testing.B) {
		series(b, func(*testing.B) []string { return nil }, embedded, nil)
	})
	b.Run("apache-kafka", func(b *testing.B) {
		series(b, apacheKafka, map[string]float64{}, embedded)
	})
}

// series runs one platform after another, each with data of its own, on the
// Kafka that start gives. peer has the figures to compare with.
func series(b *testing.B, start func(*testing.B) []string, sustained, peer map[string]float64) {
	run := func(name string, orders int, rate float64) {
		b.Run(name, func(b *testing.B) {
			r := measure(b, start(b), orders, rate)
			b.ReportMetric(0, "ns/op") // of a paced load it says nothing
			b.ReportMetric(r.OrdersPerSecond, "orders/s")
			b.ReportMetric(r.SettleP50ms, "p50-ms")
			b.ReportMetric(r.SettleP99ms, "p99-ms")
			if rate == 0 {
				sustained[name] = r.OrdersPerSecond
			}
			if p := peer[name]; p > 0 {
				b.ReportMetric(p/r.OrdersPerSecond, "ratio")
			}
		})
	}
	run("sustained", flatOut, 0)
	run("100-a-second", int(100*steady.Seconds()), 100)
	for _, share := range []float64{.5, .8} {
		if rate := share * sustained["sustained"]; rate > 0 {
			run(fmt.Sprintf("at-%.0f-percent", 100*share), int(rate*steady.Seconds()), rate)
		}
	}
}

// apacheKafka starts one node for a benchmark.
func apacheKafka(b *testing.B) []string {
	port, err := kafka.FreePort(1)
	if err != nil {
		b.Fatal(err)
	}
	c, err := kafka.Open(b.Context(), kafka.Config{Dir: b.TempDir(), Port: port})
	if kafka.IsNotRun(err) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Kill(b.Context(), 1) })
	if err := c.Up(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c.Addrs()
}

// measure places orders on a new platform and reports how they fared.
func measure(b *testing.B, brokers []string, orders int, rate float64) report.Report {
	b.Helper()
	dir, err := platform.TemporaryDir()
	if err != nil {
		b.Fatal(err)
	}
	p, err := platform.Start(b.Context(), platform.Config{DataDir: dir, Temporary: true, FreePorts: true, Kafka: brokers})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			b.Error(err)
		}
	}()
	at := p.Running()
	accepted, err := ledger.Open(at.DataDir)
	if err != nil {
		b.Fatal(err)
	}
	defer accepted.Close()
	config := workload.Config{OrderURL: at.OrderURL, InventoryURL: at.InventoryURL, Ledger: accepted}
	// What is slow once, such as the first use of every statement, is not what
	// is asked for.
	if _, err := workload.Run(b.Context(), config, workload.NewPlan(2, 100)); err != nil {
		b.Fatal(err)
	}
	config.Rate = rate
	b.ResetTimer()
	result, err := workload.Run(b.Context(), config, workload.NewPlan(1, orders))
	if err != nil {
		b.Fatal(err)
	}
	collector, err := collect.New(Sources(at))
	if err != nil {
		b.Fatal(err)
	}
	defer collector.Close()
	facts, verdict, err := settle.Await(b.Context(), settle.Config{Facts: collector.Facts, Every: 2 * time.Second, Wait: 3 * time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	if !verdict.OK() {
		b.Fatal(settle.Broken(verdict))
	}
	run := report.Run{}
	for _, o := range result.Orders {
		run.Orders = append(run.Orders, report.Order{ID: o.OrderID, SentAt: o.SentAt})
	}
	return report.Build(run, facts, verdict)
}
