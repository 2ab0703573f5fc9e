package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
)

// AddLogHandler makes the logger also write to h, from now on and also for loggers
// derived from it earlier. h adds trace_id and span_id itself if it wants them.
func (t *Telemetry) AddLogHandler(h slog.Handler) { t.logs.add(h) }

// withTrace adds the trace and span of the context to each line.
type withTrace struct{ slog.Handler }

func (h withTrace) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h withTrace) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withTrace{h.Handler.WithAttrs(attrs)}
}
func (h withTrace) WithGroup(name string) slog.Handler { return withTrace{h.Handler.WithGroup(name)} }

// fanout writes to a first handler and to those added later. Handlers derived from
// it (With, WithGroup) replay their derivation on what is added.
type fanout struct {
	root   *fanoutRoot
	derive []func(slog.Handler) slog.Handler
	// cached are the derived handlers of the root's list at the time.
	cached atomic.Pointer[derived]
}

type fanoutRoot struct {
	mu       sync.Mutex
	handlers atomic.Pointer[[]slog.Handler]
}

type derived struct {
	from *[]slog.Handler
	all  []slog.Handler
}

func newFanout(first slog.Handler) *fanout {
	root := &fanoutRoot{}
	root.handlers.Store(&[]slog.Handler{first})
	return &fanout{root: root}
}

func (f *fanout) add(h slog.Handler) {
	f.root.mu.Lock()
	defer f.root.mu.Unlock()
	next := append(append([]slog.Handler(nil), *f.root.handlers.Load()...), h)
	f.root.handlers.Store(&next)
}

func (f *fanout) all() []slog.Handler {
	from := f.root.handlers.Load()
	if d := f.cached.Load(); d != nil && d.from == from {
		return d.all
	}
	all := make([]slog.Handler, len(*from))
	for i, h := range *from {
		for _, derive := range f.derive {
			h = derive(h)
		}
		all[i] = h
	}
	f.cached.Store(&derived{from: from, all: all})
	return all
}

func (f *fanout) Enabled(ctx context.Context, level slog.Level) bool {
	for _, h := range f.all() {
		if h.Enabled(ctx, level) {
			return true
		}
	}
	return false
}

func (f *fanout) Handle(ctx context.Context, r slog.Record) error {
	var first error
	for _, h := range f.all() {
		if h.Enabled(ctx, r.Level) {
			if err := h.Handle(ctx, r.Clone()); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

func (f *fanout) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (f *fanout) WithGroup(name string) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (f *fanout) with(derive func(slog.Handler) slog.Handler) *fanout {
	chain := append(append([]func(slog.Handler) slog.Handler(nil), f.derive...), derive)
	return &fanout{root: f.root, derive: chain}
}
