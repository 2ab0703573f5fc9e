// Package metrics serves what the broker knows about itself in Prometheus' text
// format: under the names of kminion and kafka_exporter, so that their dashboards
// show this broker without either of them, and under kafka_server_* for requests.
package metrics

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metrics counts requests and serves everything.
type Metrics struct {
	src      Sources
	requests [kmsg.MaxKey + 1]request
}

// request are the figures of one request key.
type request struct {
	count, in, out atomic.Int64
	buckets        [len(bounds) + 1]atomic.Int64
	nanos          atomic.Int64
}

// bounds are the upper bounds of the duration buckets, in seconds.
var bounds = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5}

// New returns metrics over the sources.
func New(src Sources) *Metrics { return &Metrics{src: src} }

// Request counts an answered request.
func (m *Metrics) Request(key int16, took time.Duration, in, out int) {
	if key < 0 || int(key) >= len(m.requests) {
		return
	}
	r := &m.requests[key]
	r.count.Add(1)
	r.in.Add(int64(in))
	r.out.Add(int64(out))
	r.nanos.Add(int64(took))
	r.buckets[sort.SearchFloat64s(bounds[:], took.Seconds())].Add(1)
}

// page is one exposition being written.
type page struct {
	*bufio.Writer
	typed map[string]bool
}

// sample writes one sample; labels are pairs of name and value.
func (p *page) sample(typ, name string, value float64, labels ...string) {
	family := name
	if typ == "histogram" {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			family = strings.TrimSuffix(family, suffix)
		}
	}
	if !p.typed[family] {
		p.typed[family] = true
		fmt.Fprintf(p, "# HELP %s %s\n", family, help[family])
		fmt.Fprintf(p, "# TYPE %s %s\n", family, typ)
	}
	_, _ = p.WriteString(name) // a reader that has gone shows at the flush
	for i := 0; i < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		_ = p.WriteByte(sep)
		fmt.Fprintf(p, "%s=\"%s\"", labels[i], escape.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		_ = p.WriteByte('}')
	}
	fmt.Fprintf(p, " %v\n", value)
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// ServeHTTP implements http.Handler.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	p := &page{bufio.NewWriter(w), map[string]bool{}}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	c := m.src.Cluster()
	cluster(p, c)
	connections(p, m.src.Listeners())
	groups(p, c, m.src.Groups(ctx), topics(p, c, m.src.Topics()))
	m.requestFigures(p)
	m.commits(p)
	m.storage(p)
	m.limits(p)
	_ = p.Flush() // the scraper may have gone
}

// commits writes what durability costs: under the group flush policy an
// acknowledgement waits for one round and its sync.
func (m *Metrics) commits(p *page) {
	s := m.src.Commits()
	p.sample("counter", "quokka_broker_commit_rounds_total", float64(s.Rounds))
	p.sample("counter", "quokka_broker_syncs_total", float64(s.Syncs))
	p.sample("counter", "quokka_broker_sync_seconds_total", s.SyncTime.Seconds())
	p.sample("counter", "quokka_broker_scrubbed_bytes_total", float64(s.Scrubbed))
	p.sample("counter", "quokka_broker_damaged_segments_total", float64(s.Damaged))
}

// storage writes what of it does not work as it should: alarms look here.
func (m *Metrics) storage(p *page) {
	flag := func(name string, on bool) {
		value := 0.0
		if on {
			value = 1
		}
		p.sample("gauge", name, value)
	}
	s := m.src.Storage()
	flag("quokka_broker_storage_full", s.Full)
	flag("quokka_broker_storage_read_only", s.ReadOnly)
	p.sample("gauge", "quokka_broker_storage_free_bytes", float64(s.Free))
	p.sample("gauge", "quokka_broker_partitions_stopped", float64(s.Stopped))
}

// limits writes how often clients asked for more than they may have.
func (m *Metrics) limits(p *page) {
	for _, l := range m.src.Limits() {
		p.sample("counter", "quokka_broker_limit_hits_total", float64(l.N), "limit", l.Name)
	}
	throttled := m.src.Throttled()
	for _, t := range throttled {
		p.sample("counter", "quokka_broker_throttled_total", float64(t.Count), "quota", t.Quota)
	}
	for _, t := range throttled {
		p.sample("counter", "quokka_broker_throttle_seconds_total", t.Total.Seconds(), "quota", t.Quota)
	}
	p.sample("gauge", "quokka_broker_decode_memory_bytes", float64(m.src.DecodeMemory()))
	p.sample("gauge", "quokka_broker_produce_memory_bytes", float64(m.src.ProduceMemory()))
	p.sample("gauge", "kafka_server_fetch_session_cache_num_incremental_fetch_sessions", float64(m.src.FetchSessions()))
	for _, w := range m.src.Parked() {
		p.sample("gauge", "kafka_server_delayed_operation_purgatory_size", float64(w.N), "delayed_operation", w.Name)
	}
}

// requestFigures writes what was counted per request key.
func (m *Metrics) requestFigures(p *page) {
	each := func(f func(key string, r *request)) {
		for key := range m.requests {
			if r := &m.requests[key]; r.count.Load() > 0 {
				f(kmsg.NameForKey(int16(key)), r)
			}
		}
	}
	each(func(key string, r *request) {
		p.sample("counter", "kafka_server_request_bytes_total", float64(r.in.Load()), "request", key)
	})
	each(func(key string, r *request) {
		p.sample("counter", "kafka_server_response_bytes_total", float64(r.out.Load()), "request", key)
	})
	each(func(key string, r *request) {
		const name = "kafka_network_request_duration_seconds"
		var sum int64
		for i := range r.buckets {
			sum += r.buckets[i].Load()
			le := "+Inf"
			if i < len(bounds) {
				le = fmt.Sprint(bounds[i])
			}
			p.sample("histogram", name+"_bucket", float64(sum), "request", key, "le", le)
		}
		p.sample("histogram", name+"_sum", time.Duration(r.nanos.Load()).Seconds(), "request", key)
		p.sample("histogram", name+"_count", float64(sum), "request", key)
	})
}
