package composed

import (
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traces stands in for Jaeger: it takes spans by OTLP and remembers the ids of
// their traces.
type traces struct {
	t  *testing.T
	mu sync.Mutex
	// seen are the ids, as hexadecimal digits.
	seen map[string]bool
}

func newTraces(t *testing.T, listener net.Listener) *traces {
	c := &traces{t: t, seen: map[string]bool{}}
	server := &http.Server{Handler: c}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-served })
	return c
}

func (c *traces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender has gone, and with it these spans
	}
	var batch collector.ExportTraceServiceRequest
	if err = proto.Unmarshal(body, &batch); err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		http.Error(w, "no batch of spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range batch.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.seen[hex.EncodeToString(span.TraceId)] = true
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// exemplar is a trace id beside a bucket of a histogram, which only the
// OpenMetrics format can carry.
var exemplar = regexp.MustCompile(`(?m)^([a-z_]+)_bucket\{[^}]*\} \S+ # \{trace_id="([0-9a-f]{32})"\} `)

// exemplars asks the services for OpenMetrics, as Prometheus does, and returns
// the ids of the traces by histogram.
func exemplars(t *testing.T, e *engine, targets ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, target := range targets {
		page := e.page(target, "application/openmetrics-text; version=1.0.0")
		if !strings.HasSuffix(page, "# EOF\n") {
			t.Errorf("%s does not speak OpenMetrics:\n%.200s", target, page)
		}
		for _, m := range exemplar.FindAllStringSubmatch(page, -1) {
			found[m[1]] = append(found[m[1]], m[2])
		}
	}
	return found
}

// checkExemplars: the histograms of what an order waits for lead to traces, and
// each of these has been sent to where traces are looked up.
func checkExemplars(t *testing.T, found map[string][]string, sent *traces) {
	t.Helper()
	for _, histogram := range []string{"http_server_request_duration_seconds", "messaging_process_duration_seconds", "quokka_order_settle_seconds"} {
		if len(found[histogram]) == 0 {
			t.Errorf("%s has no exemplar", histogram)
		}
	}
	sent.mu.Lock()
	defer sent.mu.Unlock()
	for histogram, ids := range found {
		for _, id := range ids {
			if !sent.seen[id] {
				t.Errorf("an exemplar of %s leads to trace %s, which nobody has", histogram, id)
			}
		}
	}
}
