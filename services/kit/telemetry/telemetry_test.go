package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTelemetry(t *testing.T, cfg telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	return tel
}

// lastLine reads the last JSON line of a log.
func lastLine(t *testing.T, log *bytes.Buffer) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var out map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &out); err != nil {
		t.Fatalf("%v in %q", err, log.String())
	}
	return out
}

// Services that share a process and an exporter appear under their own names, and
// the process's globals know nothing of them.
func TestServicesInOneProcess(t *testing.T) {
	global := otel.GetTracerProvider()
	exporter := tracetest.NewInMemoryExporter()
	var logs [2]bytes.Buffer
	var tels [2]*telemetry.Telemetry
	for i, name := range []string{"order", "inventory"} {
		tels[i] = newTelemetry(t, telemetry.Config{Service: name, Exporter: exporter, Output: &logs[i]})
		ctx, span := tels[i].Tracer.Tracer("test").Start(t.Context(), "work of "+name)
		tels[i].Logger.InfoContext(ctx, "working")
		span.End()
		line := lastLine(t, &logs[i])
		if line["service"] != name || line["trace_id"] != span.SpanContext().TraceID().String() || line["span_id"] != span.SpanContext().SpanID().String() {
			t.Errorf("log line %v", line)
		}
	}
	// The first to end must not close what they share.
	if err := tels[0].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tels[1].Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range exporter.GetSpans() {
		for _, a := range s.Resource.Attributes() {
			if a.Key == "service.name" {
				names = append(names, a.Value.AsString()+": "+s.Name)
			}
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"inventory: work of inventory", "order: work of order"}) {
		t.Errorf("spans %v", names)
	}
	if otel.GetTracerProvider() != global {
		t.Error("the global tracer provider was changed")
	}
}

// Nobody listens: no spans are made, but a context that came in goes on.
func TestWithoutExporter(t *testing.T) {
	tel := newTelemetry(t, telemetry.Config{Service: "order", Output: &bytes.Buffer{}})
	parent := telemetry.Propagator.Extract(t.Context(), carrier{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	ctx, span := tel.Tracer.Tracer("test").Start(parent, "work")
	defer span.End()
	out := carrier{}
	telemetry.Propagator.Inject(ctx, out)
	if out["traceparent"] != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
		t.Errorf("context went on as %q", out["traceparent"])
	}
}

type carrier map[string]string

func (c carrier) Get(k string) string { return c[k] }
func (c carrier) Set(k, v string)     { c[k] = v }
func (c carrier) Keys() []string      { return nil }

// recorder is a handler that keeps what it is given.
type recorder struct {
	mu    *sync.Mutex
	lines *[]string
	attrs string
}

func (r recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r recorder) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.lines = append(*r.lines, r.attrs+rec.Message)
	return nil
}
func (r recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		r.attrs += a.String() + " "
	}
	return r
}
func (r recorder) WithGroup(name string) slog.Handler { r.attrs += name + "."; return r }

// A handler added later also hears loggers that were derived before; Local is
// never passed on.
func TestAddLogHandler(t *testing.T) {
	var out bytes.Buffer
	tel := newTelemetry(t, telemetry.Config{Service: "order", Output: &out, Level: slog.LevelWarn})
	derived := tel.Logger.With("part", "relay").WithGroup("g").With("n", 1)
	derived.Warn("before")
	var lines []string
	tel.AddLogHandler(recorder{mu: &sync.Mutex{}, lines: &lines})
	derived.Info("after") // below the output's level, not below the handler's
	tel.Local.Error("only here")
	if want := []string{"service=order part=relay g.n=1 after"}; !slices.Equal(lines, want) {
		t.Errorf("handler got %q, want %q", lines, want)
	}
	if text := out.String(); strings.Contains(text, "after") || !strings.Contains(text, "before") || !strings.Contains(text, "only here") {
		t.Errorf("output:\n%s", text)
	}
}

func TestBadEndpoint(t *testing.T) {
	_, err := telemetry.New(t.Context(), telemetry.Config{Service: "order", OTLPEndpoint: "collector:4318"})
	if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("error %v, want it to name the variable", err)
	}
}

// TestSampleRatio: nothing said means all, SampleNone means none.
func TestSampleRatio(t *testing.T) {
	for ratio, recorded := range map[float64]bool{0: true, 1: true, telemetry.SampleNone: false} {
		tel := newTelemetry(t, telemetry.Config{Service: "order", Exporter: tracetest.NewInMemoryExporter(), SampleRatio: ratio})
		_, span := tel.Tracer.Tracer("test").Start(t.Context(), "work")
		if span.End(); span.IsRecording() || span.SpanContext().IsSampled() != recorded {
			t.Errorf("ratio %v: sampled %v, want %v", ratio, span.SpanContext().IsSampled(), recorded)
		}
	}
	for _, ratio := range []float64{-0.5, 1.5} {
		if _, err := telemetry.New(t.Context(), telemetry.Config{Service: "order", SampleRatio: ratio}); err == nil || !strings.Contains(err.Error(), "QUOKKA_TRACE_RATIO") {
			t.Errorf("ratio %v: %v", ratio, err)
		}
	}
}
