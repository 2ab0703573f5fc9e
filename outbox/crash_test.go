package outbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
)

// TestKillAtEachPoint kills a relay in another process (SIGKILL) at each row of the
// crash table while writers write, and lets a successor finish.
func TestKillAtEachPoint(t *testing.T) {
	// Where the predecessor's last batch was neither sent nor stored as done, or
	// both, nothing may arrive twice.
	exact := []string{FaultLeading, FaultSending, FaultStored}
	for _, point := range FaultPoints {
		for _, hits := range []int{1, 3} {
			if point == FaultLeading && hits > 1 {
				continue // it leads once
			}
			t.Run(fmt.Sprintf("%s/%d", point, hits), func(t *testing.T) {
				t.Parallel()
				e := newEnv(t)
				w := e.workload(3)
				tl := e.tail(e.topic)

				ctx, cancel := context.WithCancel(sampled(t.Context()))
				writers := make(chan error, 1)
				go func() { writers <- w.run(ctx, 2, 1<<40) }()
				runHelper(t, e, point, hits)
				cancel()
				if err := <-writers; err != nil {
					t.Fatal(err)
				}

				spans := newSpans()
				cfg := e.config()
				cfg.Tracer = spans
				e.run(cfg)
				if err := w.run(sampled(t.Context()), 2, w.commits.Load()+50); err != nil {
					t.Fatal(err)
				}
				v := w.check(t, tl)
				if slices.Contains(exact, point) && v.repeated > 0 {
					t.Errorf("%d of %d events arrived twice", v.repeated, len(w.ids))
				}
				t.Logf("%d events, %v", len(w.ids), v)
				checkRepetitions(t, tl.all(), spans)
			})
		}
	}
}

// runHelper runs a relay in another process until it kills itself.
func runHelper(t *testing.T, e *env, point string, hits int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "OUTBOX_HELPER=1", "OUTBOX_DATABASE="+e.url, "OUTBOX_BROKERS="+strings.Join(e.brokers, ","),
		"OUTBOX_POINT="+point, fmt.Sprint("OUTBOX_HITS=", hits))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the helper was not killed at %q: %v\n%s", point, err, out)
	}
}

// checkRepetitions: what arrives again arrives with the same headers but the trace
// context, in the same order, and its send span says so.
func checkRepetitions(t *testing.T, records []*kgo.Record, spans *spanRecorder) {
	t.Helper()
	marked := spans.redelivered()
	seen := map[string]bool{}
	before := map[int32]int64{}
	for _, r := range records {
		if last, ok := before[r.Partition]; ok && r.Offset != last+1 {
			t.Fatalf("the test reads partition %d out of order", r.Partition)
		}
		before[r.Partition] = r.Offset
		id := string(r.Key) + "/" + string(r.Value)
		if seen[id] {
			if span := spanOf(r); !marked[span] {
				t.Errorf("%s arrived again, and span %s does not say so", id, span)
			}
		}
		seen[id] = true
	}
}

// spanOf returns the span id that a record's traceparent names.
func spanOf(r *kgo.Record) trace.SpanID {
	for _, h := range r.Headers {
		if h.Key == traceparentKey {
			if parts := strings.Split(string(h.Value), "-"); len(parts) == 4 {
				id, _ := trace.SpanIDFromHex(parts[2])
				return id
			}
		}
	}
	return trace.SpanID{}
}

// TestKilledWriter: a writer that dies between INSERT and COMMIT has written nothing.
func TestKilledWriter(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	e.run(e.config())
	conn := connectTo(t, e.url)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), tx, e.event("a", 99)); err != nil {
		t.Fatal(err)
	}
	e.exec("SELECT pg_terminate_backend($1, 5000)", conn.PgConn().PID())
	if err := tx.Commit(t.Context()); err == nil {
		t.Fatal("committed without a backend")
	}
	e.write(e.event("a", 1))
	if got := published(tl.await(t, 1)); !slices.Equal(got["a"], []int{1}) {
		t.Errorf("got %v", got)
	}
}

// TestLostSession: the server ends the relay's session; it comes back by itself.
func TestLostSession(t *testing.T) {
	e := newEnv(t)
	w := e.workload(3)
	tl := e.tail(e.topic)
	e.run(e.config())
	for round := range 3 {
		if err := w.run(t.Context(), 2, int64(50*(round+1))); err != nil {
			t.Fatal(err)
		}
		e.exec("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'quokka-outbox' AND datname = current_database()")
	}
	if err := w.run(t.Context(), 2, 200); err != nil {
		t.Fatal(err)
	}
	w.check(t, tl)
}
