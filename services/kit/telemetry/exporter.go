package telemetry

import (
	"context"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// How long a span waits for company on its way to an exporter in this process, and
// to a collector. How many spans may wait, so that a burst of orders leaves none
// out, and how many travel together.
const (
	exportDelay = 200 * time.Millisecond
	otlpDelay   = time.Second
	spanQueue   = 16 << 10
	spanBatch   = 2 << 10
)

// keepOpen is an exporter that several services share: the first of them to shut
// down must not close it for the others. Whoever made it closes it.
type keepOpen struct{ sdktrace.SpanExporter }

func (keepOpen) Shutdown(context.Context) error { return nil }
