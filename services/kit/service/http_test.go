package service_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api is a service that is only its HTTP server.
type api struct{ *service.HTTP }

func serve(t *testing.T, cfg service.HTTPConfig, routes func(*service.HTTP)) *kittest.Running {
	t.Helper()
	if cfg.Telemetry == nil {
		cfg.Telemetry = kittest.Telemetry(t, telemetry.Config{Service: "test"})
	}
	cfg.Listener = kittest.Listener(t)
	h, err := service.NewHTTP(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	routes(h)
	return kittest.Run(t, api{h})
}

// echo decodes strictly and answers with what it read.
func echo(h *service.HTTP) {
	h.Handle("POST /echo", func(w http.ResponseWriter, r *http.Request) error {
		var v struct {
			Name  string         `json:"name"`
			Count int8           `json:"count"`
			Inner map[string]any `json:"inner"`
		}
		if err := service.ReadJSON(r, &v); err != nil {
			return err
		}
		return service.WriteJSON(w, http.StatusOK, v)
	})
	h.Handle("GET /boom", func(http.ResponseWriter, *http.Request) error { return errors.New("the database password is hunter2") })
	h.Handle("GET /away", func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("hunter2: %w", &pgconn.PgError{Code: "57P01"})
	})
	h.Handle("GET /panic", func(http.ResponseWriter, *http.Request) error { panic("oh no") })
	h.Handle("GET /teapot", func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("wrapped: %w", service.NewProblem(http.StatusTeapot, "teapot", "short and stout"))
	})
}

func TestStrictJSON(t *testing.T) {
	r := serve(t, service.HTTPConfig{}, echo)
	for _, tc := range []struct {
		body   string
		status int
		code   string
	}{
		{`{"name":"a","count":1,"inner":{"x":[1,{"y":2}],"z":{}}}`, 200, ""},
		{` {} `, 200, ""},
		{`{"name":"a"}` + "\n", 200, ""},
		{`{"nom":"a"}`, 400, "unknown_field"},
		{`{"name":"a","name":"b"}`, 400, "duplicate_field"},
		{`{"name":"a","NAME":"b"}`, 400, "duplicate_field"},
		{`{"inner":{"x":1,"x":2}}`, 400, "duplicate_field"},
		{`{"inner":{"x":1},"count":1}`, 200, ""},
		{`{"count":"one"}`, 400, "invalid_type"},
		{`{"count":1000}`, 400, "invalid_type"},
		{`{"count":1}{}`, 400, "invalid_json"},
		{`{"count":1},`, 400, "invalid_json"},
		{`{"count":1`, 400, "invalid_json"},
		{`"text"`, 400, "invalid_json"},
		{`7`, 400, "invalid_json"},
		{`null`, 400, "invalid_json"},
		{`[]`, 400, "invalid_type"},
		{``, 400, "invalid_json"},
		{`   `, 400, "invalid_json"},
		{`{"name":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "body_too_large"},
	} {
		a := r.Do("POST", "/echo", tc.body)
		if a.Status != tc.status || a.Code() != tc.code {
			t.Errorf("%.40s: %d %s, want %d %s", tc.body, a.Status, a.Code(), tc.status, tc.code)
		}
	}
}

// What went wrong inside stays inside; problems are sent as they are.
func TestProblems(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tel := kittest.Telemetry(t, telemetry.Config{Service: "test", Exporter: exporter, Output: io.Discard})
	r := serve(t, service.HTTPConfig{Telemetry: tel}, echo)
	for _, tc := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/boom", 500, "internal"},
		{"GET", "/panic", 500, "internal"},
		{"GET", "/away", 503, "unavailable"},
		{"GET", "/teapot", 418, "teapot"},
		{"GET", "/echo", 405, "method_not_allowed"},
		{"GET", "/nothing", 404, "no_route"},
	} {
		a := r.Do(tc.method, tc.path, nil)
		var p map[string]any
		a.Into(t, &p)
		if a.Status != tc.status || p["code"] != tc.code || p["status"] != float64(tc.status) || p["type"] != "urn:quokka:problem:"+tc.code || p["title"] == "" {
			t.Errorf("%s: %d %v", tc.path, a.Status, p)
		}
		if a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: content type %s", tc.path, a.Header.Get("Content-Type"))
		}
		if strings.Contains(string(a.Body), "hunter2") {
			t.Errorf("%s gives internals away: %s", tc.path, a.Body)
		}
		if routed := tc.status != 404 && tc.status != 405; routed != (p["trace_id"] != nil) {
			t.Errorf("%s: trace id %v", tc.path, p["trace_id"])
		}
	}
	if a := r.Do("GET", "/echo", nil); a.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q, want POST", a.Header.Get("Allow"))
	}
	if err := tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range exporter.GetSpans() {
		if !slices.Contains([]string{"GET /boom", "GET /panic", "GET /away", "GET /teapot"}, s.Name) {
			t.Errorf("span %q: want only routes traced, by their pattern", s.Name)
		}
	}
}

// Clients that are slow or say too much are cut off.
func TestLimits(t *testing.T) {
	r := serve(t, service.HTTPConfig{}, echo)
	a, err := r.Try("GET", "/healthz", nil, "X-Large", strings.Repeat("x", 32<<10))
	if err == nil && a.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("32 KiB of headers: %d", a.Status)
	}
	for site, want := range map[string]int{"cross-site": 403, "same-origin": 200, "none": 200} {
		if a := r.Do("POST", "/echo", `{}`, "Sec-Fetch-Site", site); a.Status != want {
			t.Errorf("POST from %s: %d, want %d", site, a.Status, want)
		}
	}
	if a := r.Do("GET", "/healthz", nil, "Sec-Fetch-Site", "cross-site"); a.Status != 200 {
		t.Errorf("reading from another site: %d", a.Status)
	}
}

func TestRateLimit(t *testing.T) {
	r := serve(t, service.HTTPConfig{Rate: 0.001}, echo)
	if a := r.Do("POST", "/echo", `{}`); a.Status != 200 {
		t.Fatalf("first request: %d", a.Status)
	}
	a := r.Do("POST", "/echo", `{}`)
	if a.Status != 429 || a.Code() != "rate_limited" || a.Header.Get("Retry-After") == "" {
		t.Errorf("second request: %d %s, Retry-After %q", a.Status, a.Code(), a.Header.Get("Retry-After"))
	}
}

func TestReadiness(t *testing.T) {
	healthy := errors.New("no database")
	r := serve(t, service.HTTPConfig{}, func(h *service.HTTP) {
		h.Ready("database", func(context.Context) error { return healthy })
		h.Ready("group", func(context.Context) error { return nil })
	})
	a := r.Do("GET", "/readyz", nil)
	var body struct {
		Status string
		Checks map[string]string
	}
	a.Into(t, &body)
	if a.Status != 503 || body.Status != "failing" || body.Checks["database"] != "no database" || body.Checks["group"] != "ok" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	healthy = nil
	if a := r.Do("GET", "/readyz", nil); a.Status != 200 {
		t.Errorf("%d %s, want ready", a.Status, a.Body)
	}
}

// A shutdown answers what it has begun, and says meanwhile that it is not ready.
func TestShutdownFinishesRequests(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	r := serve(t, service.HTTPConfig{ShutdownTimeout: 3 * time.Minute}, func(h *service.HTTP) {
		h.Handle("GET /slow", func(w http.ResponseWriter, _ *http.Request) error {
			close(begun)
			<-finish
			return service.WriteJSON(w, 200, "done")
		})
	})
	type answer struct {
		a   kittest.Answer
		err error
	}
	got := make(chan answer, 1)
	go func() {
		a, err := r.Try("GET", "/slow", nil)
		got <- answer{a, err}
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop() }()
	kittest.Eventually(t, "new connections to be refused", func() bool {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(r.URL, "http://"), time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(finish)
	if g := <-got; g.err != nil || g.a.Status != 200 {
		t.Errorf("request in flight: %d %v", g.a.Status, g.err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// A connection on which nobody has asked anything, such as clients open in advance,
// neither holds up a shutdown nor makes it fail.
func TestShutdownWithUnusedConnection(t *testing.T) {
	r := serve(t, service.HTTPConfig{}, echo)
	unused, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	r.Do("GET", "/healthz", nil) // accepted after it
	if err := r.Stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestAddressTaken(t *testing.T) {
	l := kittest.Listener(t)
	defer l.Close()
	tel := kittest.Telemetry(t, telemetry.Config{Service: "test"})
	_, err := service.NewHTTP(t.Context(), service.HTTPConfig{Addr: l.Addr().String(), AddrVariable: "QUOKKA_TEST_ADDR", Telemetry: tel})
	if err == nil || !strings.Contains(err.Error(), "set QUOKKA_TEST_ADDR") {
		t.Errorf("error %v, want it to name the variable", err)
	}
}

// A request that never ends its headers is not waited for for ever; garbage gets
// an answer, not a crash.
func TestGarbage(t *testing.T) {
	r := serve(t, service.HTTPConfig{}, echo)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("\x00\x01\x02 HTTP\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("garbage: %d, want 400", resp.StatusCode)
	}
	if a := r.Do("GET", "/healthz", nil); a.Status != 200 || !json.Valid(a.Body) {
		t.Errorf("afterwards: %d %s", a.Status, a.Body)
	}
}
