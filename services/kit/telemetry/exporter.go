package telemetry

import (
	"context"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exportDelay is how long a span waits for company on its way to an exporter in
// this process.
const exportDelay = 200 * time.Millisecond

// keepOpen is an exporter that several services share: the first of them to shut
// down must not close it for the others. Whoever made it closes it.
type keepOpen struct{ sdktrace.SpanExporter }

func (keepOpen) Shutdown(context.Context) error { return nil }
