package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// HTTPConfig describes a service's HTTP server. Addr or Listener, and Telemetry,
// are required.
type HTTPConfig struct {
	// Addr is where to listen, unless Listener is given.
	Addr string
	// AddrVariable is the environment variable of Addr, for the error when the
	// address is taken.
	AddrVariable string
	// Listener is used instead of Addr; the server closes it.
	Listener net.Listener
	// Telemetry is the service's.
	Telemetry *telemetry.Telemetry
	// Rate limits the requests per second of one client address; 0: no limit.
	Rate float64
	// ShutdownTimeout bounds how long requests in flight may take after Run's
	// context ended. Default: 3 s.
	ShutdownTimeout time.Duration
}

// HTTP is a service's HTTP server: its API and, on the same port, /metrics,
// /healthz (the process lives) and /readyz (it can do its work).
//
// Headers are limited to 16 KiB and 5 s, requests to 64 KiB and 15 s, answers to
// 30 s, idle connections to 60 s. Requests that a browser sends from another
// site's page are refused unless they only read.
type HTTP struct {
	cfg      HTTPConfig
	mux      *http.ServeMux
	listener net.Listener
	server   *http.Server
	unused   unused
	ready    readiness
	duration *prometheus.HistogramVec
	limiter  *limiter
	logger   *slog.Logger
}

// HandlerFunc answers a request, or returns an error: a *Problem is sent as it is,
// any other error is logged and sent as an internal one.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// NewHTTP listens at once, so that an address that is taken is an error here.
func NewHTTP(ctx context.Context, cfg HTTPConfig) (*HTTP, error) {
	if cfg.ShutdownTimeout <= 0 {
		cfg.ShutdownTimeout = httpShutdown
	}
	listener := cfg.Listener
	if listener == nil {
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Addr); err != nil {
			return nil, listenError(cfg, err)
		}
	}
	h := &HTTP{
		cfg: cfg, mux: http.NewServeMux(), listener: listener, logger: cfg.Telemetry.Logger,
		limiter: newLimiter(cfg.Rate, time.Now),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_server_request_duration_seconds",
			Help:    "Duration of HTTP requests.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}, []string{"http_request_method", "http_route", "http_response_status_code"}),
	}
	if err := cfg.Telemetry.Metrics.Register(h.duration); err != nil {
		listener.Close()
		return nil, fmt.Errorf("http metrics: %w", err)
	}
	h.mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Telemetry.Metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	h.mux.HandleFunc("GET /healthz", healthz)
	h.mux.HandleFunc("GET /readyz", h.ready.serve)
	h.server = &http.Server{
		Handler:           h.handler(),
		ConnState:         h.unused.note,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(h.logger.Handler(), slog.LevelDebug),
	}
	return h, nil
}

func listenError(cfg HTTPConfig, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) && cfg.AddrVariable != "" {
		return fmt.Errorf("%s is taken by another program: set %s to another address: %w", cfg.Addr, cfg.AddrVariable, err)
	}
	return fmt.Errorf("listen on %s: %w", cfg.Addr, err)
}

// Addr is the address the server listens on.
func (h *HTTP) Addr() string { return h.listener.Addr().String() }

// Ready adds a check to /readyz. All calls come before Run.
func (h *HTTP) Ready(name string, check func(context.Context) error) { h.ready.add(name, check) }

// Handle routes a pattern of net/http, such as "POST /orders", to f. Each request
// is a span and counts in the metrics under the pattern.
func (h *HTTP) Handle(pattern string, f HandlerFunc) {
	traced := otelhttp.NewHandler(h.endpoint(pattern, f), pattern,
		otelhttp.WithTracerProvider(h.cfg.Telemetry.Tracer),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelhttp.WithPropagators(telemetry.Propagator),
		otelhttp.WithSpanNameFormatter(func(string, *http.Request) string { return pattern }),
	)
	h.mux.Handle(pattern, traced)
}

// endpoint calls f, turns its error or panic into a problem, and measures.
func (h *HTTP) endpoint(pattern string, f HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			h.observe(r, pattern, sw.status, time.Since(begun))
		}()
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http does
				panic(v)
			}
			h.logger.ErrorContext(r.Context(), "handler panicked", "route", pattern, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			if sw.status == 0 {
				writeProblem(sw, r, problemOf(errors.New("panic")))
			}
		}()
		err := f(sw, r)
		if err == nil {
			return
		}
		p := problemOf(err)
		if p.cause != nil {
			err = p.cause // clients do not learn it, the log does
		}
		if p.Status >= 500 {
			trace.SpanFromContext(r.Context()).RecordError(err)
			if r.Context().Err() == nil {
				h.logger.ErrorContext(r.Context(), "request failed", "route", pattern, "error", err)
			}
		}
		writeProblem(sw, r, p)
	})
}

func (h *HTTP) observe(r *http.Request, pattern string, status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	o := h.duration.WithLabelValues(r.Method, pattern, strconv.Itoa(status))
	if sc := trace.SpanContextFromContext(r.Context()); sc.IsSampled() {
		o.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": sc.TraceID().String()})
		return
	}
	o.Observe(took.Seconds())
}

// handler is the mux behind what applies to every request.
func (h *HTTP) handler() http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, NewProblem(http.StatusForbidden, "cross_origin", "requests from another site's page may only read"))
	}))
	return protection.Handler(http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait, ok := h.limiter.allow(r.RemoteAddr); !ok {
			writeProblem(w, r, NewProblem(http.StatusTooManyRequests, "rate_limited", "too many requests from this address").
				WithHeader("Retry-After", strconv.Itoa(wait)))
			return
		}
		handler, pattern := h.mux.Handler(r)
		if pattern == "" {
			writeProblem(w, r, unrouted(handler, r))
			return
		}
		h.mux.ServeHTTP(w, r)
	}), maxBody))
}

// unrouted asks the mux's own answer for an unknown route what is wrong: no such
// path, or not with this method.
func unrouted(mux http.Handler, r *http.Request) *Problem {
	var probe probeWriter
	mux.ServeHTTP(&probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		return NewProblem(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not possible on %s", r.Method, r.URL.Path).
			WithHeader("Allow", probe.Header().Get("Allow"))
	}
	return NewProblem(http.StatusNotFound, "no_route", "there is nothing at %s", r.URL.Path)
}

// Run serves until ctx ends, then refuses new requests and waits for those in
// flight.
func (h *HTTP) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- h.server.Serve(h.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", h.Addr(), err)
	case <-ctx.Done():
	}
	h.ready.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.ShutdownTimeout)
	defer cancel()
	if err := h.unused.shutdown(ctx, h.server); err != nil {
		h.server.Close()
		return fmt.Errorf("requests still running after %v were cut off: %w", h.cfg.ShutdownTimeout, err)
	}
	return nil
}

// Close ends a server that Run was never called for.
func (h *HTTP) Close() error { return h.listener.Close() }

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// probeWriter keeps status and header of an answer and drops its body.
type probeWriter struct {
	header http.Header
	status int
}

func (w *probeWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (w *probeWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *probeWriter) WriteHeader(status int)      { w.status = status }
