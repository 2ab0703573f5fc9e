package cdc

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
)

// brokerEnv makes the test binary a broker, so that its work is not counted as
// the relay's.
const brokerEnv = "CDC_BENCH_BROKER"

func TestBrokerProcess(t *testing.T) {
	if os.Getenv(brokerEnv) == "" {
		t.Skip("not a test: the broker of the benchmarks")
	}
	fmt.Println("listening on", brokertest.Brokers(t)[0])
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark ends
}

// brokerProcess starts a broker in a process of its own.
func brokerProcess(b *testing.B) []string {
	b.Helper()
	if env := os.Getenv("QUOKKA_KAFKA_BROKERS"); env != "" {
		return brokertest.Brokers(b)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBrokerProcess$", "-test.v")
	cmd.Env = append(os.Environ(), brokerEnv+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return []string{addr}
		}
	}
	b.Fatal("the broker did not start")
	return nil
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDrain writes rows while nobody reads, then measures how fast they
// are read: by a client that reads the slot and throws everything away, which is
// what PostgreSQL can deliver, and by the relay, into a broker in another process.
func BenchmarkDrain(b *testing.B) {
	const rows = 200_000
	for _, batch := range []int{100, rows} {
		b.Run(fmt.Sprintf("rows=%d/batch=%d", rows, batch), func(b *testing.B) {
			bed := newBedWith(b, brokerProcess(b),
				"CREATE TABLE items (id bigint PRIMARY KEY, customer uuid, name text, price numeric(10,2), quantity int, at timestamptz)",
				"CREATE PROCEDURE fill(n int, batch int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 0..n / batch - 1 LOOP "+
					"INSERT INTO items SELECT i * batch + g, gen_random_uuid(), 'item number ' || g || ' with a name of some length', g / 100.0, g, now() FROM generate_series(1, batch) g; COMMIT; END LOOP; END $$")
			for b.Loop() {
				drain(b, bed, rows, batch)
			}
		})
	}
}

// alternations is how often relay and null reader take turns; the medians count.
const alternations = 3

func drain(b *testing.B, bed *bed, rows, batch int) {
	b.StopTimer()
	defer b.StartTimer()
	bed.exec("TRUNCATE items")
	// Copies of one slot, so that everybody reads the same.
	slot := func(kind string, i int) string { return fmt.Sprintf("%s%d_%s", kind, i, bed.database) }
	from, err := pgoutput.ParseLSN(scan[string](bed, "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')", slot("null", 0)))
	if err != nil {
		b.Fatal(err)
	}
	slots := []string{slot("null", 0)}
	for i := range alternations {
		for _, name := range []string{slot("null", i), slot("relay", i)} {
			if name != slots[0] {
				bed.exec(fmt.Sprintf("SELECT pg_copy_logical_replication_slot('%s', '%s')", slots[0], name))
				slots = append(slots, name)
			}
		}
	}
	bed.exec(fmt.Sprintf("CALL fill(%d, %d)", rows, batch))
	end, err := pgoutput.ParseLSN(scan[string](bed, "SELECT pg_current_wal_flush_lsn()::text"))
	if err != nil {
		b.Fatal(err)
	}
	var null, relay []run
	for i := range alternations {
		null = append(null, measure(b, func() {
			readAll(b, bed.replication(), pgrepl.Options{Slot: slot("null", i), Publication: bed.source.Publication, From: from}, end)
		}))
		bed.source.Slot = slot("relay", i)
		bed.begin(from, "items")
		var r *running
		relay = append(relay, measure(b, func() {
			r = bed.start(func(c *Config) { c.ConfirmInterval = 50 * time.Millisecond })
			for confirmed := pgoutput.LSN(0); confirmed < end; time.Sleep(time.Millisecond) {
				if text := r.Status()[0].Confirmed; text != "" {
					if confirmed, err = pgoutput.ParseLSN(text); err != nil {
						b.Fatal(err)
					}
				}
			}
		}))
		if err := r.stop(); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range slots {
		eventually(b, "the slot is free", func() bool {
			_, err := bed.sql.Exec(b.Context(), "SELECT pg_drop_replication_slot($1)", name)
			return err == nil
		})
	}
	n, r := median(null), median(relay)
	b.ReportMetric(float64(rows)/r.took.Seconds(), "rows/s")
	b.ReportMetric(float64(rows)/n.took.Seconds(), "null-rows/s")
	b.ReportMetric(n.took.Seconds()/r.took.Seconds(), "ratio")
	b.ReportMetric(r.cpu.Seconds()/float64(rows)*1e6, "cpu-s/Mrows")
	b.ReportMetric(n.cpu.Seconds()/float64(rows)*1e6, "null-cpu-s/Mrows")
}

type run struct{ took, cpu time.Duration }

func measure(b *testing.B, f func()) run {
	runtime.GC()
	begin, used := time.Now(), cpu(b)
	f()
	return run{time.Since(begin), cpu(b) - used}
}

func median(runs []run) run {
	middle := func(of func(run) time.Duration) time.Duration {
		slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(of(a), of(b)) })
		return of(runs[len(runs)/2])
	}
	return run{middle(func(r run) time.Duration { return r.took }), middle(func(r run) time.Duration { return r.cpu })}
}

// begin stores progress as if the relay had read the table and followed it up to
// a position.
func (b *bed) begin(pos pgoutput.LSN, table string) {
	b.t.Helper()
	store := b.store()
	if _, err := store.load(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	err := store.save(b.t.Context(), &state{
		Source: b.source.Name, Database: b.database, Slot: b.source.Slot, Position: pos,
		Tables:   map[string]uint32{"public." + table: scan[uint32](b, "SELECT $1::regclass::oid", table)},
		SystemID: scan[string](b, "SELECT system_identifier::text FROM pg_control_system()"),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// readAll reads a slot up to a position and does nothing with it.
func readAll(b *testing.B, conn *pgrepl.Conn, o pgrepl.Options, end pgoutput.LSN) {
	stream, err := conn.Start(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	for {
		m, err := stream.Receive()
		if err != nil {
			b.Fatal(err)
		}
		if m.Data == nil {
			if m.Pos >= end {
				return
			}
			if err := stream.Status(m.Pos, 0, false); err != nil {
				b.Fatal(err)
			}
		}
	}
}
