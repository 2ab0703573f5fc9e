package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Config describes a service's telemetry. Service is required.
type Config struct {
	// Service is the service's name in traces, logs and metrics.
	Service string
	// OTLPEndpoint is the URL of an OTLP/HTTP collector, such as
	// http://127.0.0.1:4318. Empty: spans go to Exporter only.
	OTLPEndpoint string
	// Exporter also receives the spans; for processes that keep traces themselves.
	Exporter sdktrace.SpanExporter
	// SampleRatio is the share of new traces that are recorded; a trace begun
	// elsewhere keeps its decision. Default: 1; SampleNone for none.
	SampleRatio float64
	// Output receives the log as JSON lines. Default: standard error.
	Output io.Writer
	// Level is the least level logged. Default: info.
	Level slog.Level
	// ProcessMetrics adds the metrics of the Go runtime and the process. Leave it
	// off where several services share the process.
	ProcessMetrics bool
}

// Telemetry is what a service reports through.
type Telemetry struct {
	// Service is the service's name.
	Service string
	// Logger writes to the output and to the handlers added by AddLogHandler.
	Logger *slog.Logger
	// Local writes to the output only. The path that carries log lines logs here:
	// a line about a line would never end.
	Local *slog.Logger
	// Tracer makes the service's spans.
	Tracer trace.TracerProvider
	// Metrics is the service's registry, served at /metrics.
	Metrics *prometheus.Registry

	logs     *fanout
	provider *sdktrace.TracerProvider
}

// SampleNone as Config.SampleRatio records no trace that begins here.
const SampleNone = -1

// Propagator reads and writes the W3C headers traceparent and tracestate.
var Propagator propagation.TextMapPropagator = propagation.TraceContext{}

// New makes a service's telemetry. Call Shutdown to send what is buffered.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	if cfg.Service == "" {
		return nil, errors.New("telemetry: no service name")
	}
	if cfg.Output == nil {
		cfg.Output = os.Stderr
	}
	switch {
	case cfg.SampleRatio == 0:
		cfg.SampleRatio = 1
	case cfg.SampleRatio > 1 || cfg.SampleRatio < 0 && cfg.SampleRatio != SampleNone:
		return nil, fmt.Errorf("QUOKKA_TRACE_RATIO is %g, want a share from 0 to 1", cfg.SampleRatio)
	}
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", cfg.Service),
			attribute.String("service.namespace", "quokka"),
			attribute.String("service.instance.id", uuid.NewString()),
		)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.SampleRatio))),
	}
	exporting := false
	if cfg.OTLPEndpoint != "" {
		if !strings.Contains(cfg.OTLPEndpoint, "://") {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT is %q, want a URL such as http://127.0.0.1:4318", cfg.OTLPEndpoint)
		}
		exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(tracesURL(cfg.OTLPEndpoint)))
		if err != nil {
			return nil, fmt.Errorf("telemetry: trace exporter: %w", err)
		}
		opts = append(opts, sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(otlpDelay),
			sdktrace.WithMaxQueueSize(spanQueue), sdktrace.WithMaxExportBatchSize(spanBatch)))
		exporting = true
	}
	if cfg.Exporter != nil {
		opts = append(opts, sdktrace.WithBatcher(keepOpen{cfg.Exporter}, sdktrace.WithBatchTimeout(exportDelay), sdktrace.WithMaxQueueSize(spanQueue)))
		exporting = true
	}
	t := &Telemetry{
		Service: cfg.Service,
		Metrics: prometheus.NewRegistry(),
	}
	if t.provider = sdktrace.NewTracerProvider(opts...); exporting {
		t.Tracer = t.provider
	} else {
		// Nobody would see the spans, so none are made; contexts pass through.
		t.Tracer = tracenoop.NewTracerProvider()
	}
	local := withTrace{slog.NewJSONHandler(cfg.Output, &slog.HandlerOptions{Level: cfg.Level})}
	t.logs = newFanout(local)
	service := slog.String("service", cfg.Service)
	t.Logger = slog.New(t.logs).With(service)
	t.Local = slog.New(local).With(service)
	if cfg.ProcessMetrics {
		t.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return t, nil
}

// tracesURL completes an OTLP base address as the environment variable's
// specification says.
func tracesURL(endpoint string) string {
	if strings.HasSuffix(endpoint, "/v1/traces") {
		return endpoint
	}
	return strings.TrimSuffix(endpoint, "/") + "/v1/traces"
}

// Shutdown sends the spans that are buffered, for as long as ctx allows.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("telemetry of %s: %w", t.Service, err)
	}
	return nil
}

// Flush sends the spans that are buffered and goes on.
func (t *Telemetry) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }
