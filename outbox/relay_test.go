package outbox

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/internal/freeport"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

// metric reads one of a relay's metrics; the sum over labels.
func metric(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func count(n int) []int {
	var out []int
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

// TestTwoRelays: one works, the other stands by and takes over.
func TestTwoRelays(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	var relays [2]*running
	var regs [2]*prometheus.Registry
	for i := range relays {
		regs[i] = prometheus.NewRegistry()
		cfg := e.config()
		cfg.Metrics, cfg.StandbyPoll = regs[i], 20*time.Millisecond
		relays[i] = e.run(cfg)
	}
	leads := func(i int) bool { return metric(t, regs[i], "outbox_leader") == 1 }
	eventually(t, "one leads", func() bool { return leads(0) || leads(1) })
	for n := range 20 {
		e.write(e.event("a", n+1))
	}
	tl.await(t, 20)
	if leads(0) && leads(1) {
		t.Error("both lead")
	}
	first := 0
	if leads(1) {
		first = 1
	}
	if err := relays[first].stop(); err != nil {
		t.Fatal(err)
	}
	// A record can be read before its relay has heard that it was taken, and counts it.
	if n := metric(t, regs[first], "outbox_published_total"); n != 20 {
		t.Errorf("the leader published %v of 20", n)
	}
	e.write(e.event("a", 21))
	if got := published(tl.await(t, 21)); !slices.Equal(got["a"], count(21)) {
		t.Errorf("got %v", got)
	}
	if !leads(1-first) || leads(first) {
		t.Error("the successor does not lead alone")
	}
	if err := relays[1-first].stop(); err != nil {
		t.Fatal(err)
	}
	if n := metric(t, regs[1-first], "outbox_published_total"); n != 1 {
		t.Errorf("the successor published %v of 1", n)
	}
}

// silence is a broker address that accepts connections and never answers.
func silence(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// TestLeaseLostWhileSending: a relay waits for a broker that does not answer when
// its session ends. It stops publishing; its successor publishes.
func TestLeaseLostWhileSending(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	reg := prometheus.NewRegistry()
	cfg := e.config()
	cfg.Brokers, cfg.Metrics = []string{silence(t)}, reg
	sending := make(chan struct{}, 100)
	cfg.Fault = func(point string) {
		if point == FaultSending {
			sending <- struct{}{}
		}
	}
	stuck := e.run(cfg)
	e.write(e.event("a", 1))
	<-sending
	standby := e.config()
	standby.StandbyPoll = 20 * time.Millisecond
	e.run(standby)
	end := func() {
		e.exec(`SELECT pg_terminate_backend(pid, 5000) FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE locktype = 'advisory' AND granted AND application_name = 'quokka-outbox' AND datname = current_database()`)
	}
	end()
	eventually(t, "the standby publishes", func() bool {
		select {
		case <-sending: // the stuck one came back before the standby asked
			end()
		default:
		}
		return len(tl.all()) > 0
	})
	eventually(t, "the stuck relay has noticed", func() bool { return metric(t, reg, "outbox_leader") == 0 })
	if got := published(tl.all()); !slices.Equal(got["a"], []int{1}) {
		t.Errorf("got %v", got)
	}
	if err := stuck.stop(); err != nil {
		t.Error(err)
	}
}

// cable is a network that can be cut.
type cable struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (c *cable) dial(ctx context.Context, network, host string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("the cable is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// TestKafkaAway: writers go on while Kafka is away; afterwards everything arrives,
// in order, and meanwhile the metrics tell.
func TestKafkaAway(t *testing.T) {
	e := newEnv(t)
	w := e.workload(5)
	tl := e.tail(e.topic)
	reg := prometheus.NewRegistry()
	c := &cable{}
	cfg := e.config()
	cfg.Metrics, cfg.BatchRows = reg, 50
	cfg.ClientOpts = []kgo.Opt{kgo.Dialer(c.dial), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond })}
	r := e.run(cfg)
	for round := range 3 {
		if err := w.run(t.Context(), 2, int64(200*round+100)); err != nil {
			t.Fatal(err)
		}
		c.set(true)
		if err := w.run(t.Context(), 2, int64(200*round+200)); err != nil {
			t.Fatal(err)
		}
		r.Hint()
		eventually(t, "the lag is seen", func() bool { return metric(t, reg, "outbox_lag_seconds") > 0 })
		if round == 2 {
			eventually(t, "the waiting events are counted", func() bool { return metric(t, reg, "outbox_pending_rows") >= 50 })
		}
		c.set(false)
	}
	w.check(t, tl)
	eventually(t, "nothing is pending", func() bool {
		return metric(t, reg, "outbox_pending_rows") == 0 && metric(t, reg, "outbox_lag_seconds") == 0
	})
	if n := metric(t, reg, "outbox_published_total"); n < float64(len(w.ids)) {
		t.Errorf("published_total is %v of %d", n, len(w.ids))
	}
}

// TestMissingTopic: the relay waits until somebody makes the topic.
func TestMissingTopic(t *testing.T) {
	e := newEnv(t)
	missing := "outbox.later." + strings.TrimPrefix(e.topic, "outbox.")
	e.run(e.config())
	e.write(Event{Topic: missing, Key: []byte("a"), Value: []byte("1")})
	e.write(Event{Topic: missing, Key: []byte("a"), Value: []byte("2")})
	if _, err := e.admin.CreateTopic(t.Context(), 1, 1, nil, missing); err != nil {
		t.Fatal(err)
	}
	if got := published(e.tail(missing).await(t, 2)); !slices.Equal(got["a"], count(2)) {
		t.Errorf("got %v", got)
	}
}

// enterable returns a temporary folder that the server's account can enter, which
// t.TempDir's is not when root runs the tests: the server's files would be kept
// elsewhere, and stay there.
func enterable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestServerRestarts: PostgreSQL is shut down, and crashes, under the relay.
func TestServerRestarts(t *testing.T) {
	port, err := freeport.Find() // it is free again when it is started again
	if err != nil {
		t.Fatal(err)
	}
	cfg := pgserver.Config{DataDir: enterable(t), Port: port}
	server, err := pgserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	e := newEnvOn(t, server.URL())
	tl := e.tail(e.topic)
	e.run(e.config())
	n := 0
	for _, crash := range []bool{false, true, false} {
		for range 10 {
			n++
			e.write(e.event("a", n))
		}
		if crash {
			// A child's death by SIGKILL makes the server crash and recover.
			const child = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
			old := e.int(child)
			if err := syscall.Kill(int(old), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the server has recovered", func() bool {
				var pid int64
				return e.pool.QueryRow(t.Context(), child).Scan(&pid) == nil && pid != old
			})
		} else {
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			if server, err = pgserver.Start(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
		e.pool.Reset()
		eventually(t, "the server answers", func() bool { return e.pool.Ping(t.Context()) == nil })
	}
	e.write(e.event("a", n+1))
	last := map[string]int{"a": n + 1}
	eventually(t, "everything arrives", func() bool { return judge(published(tl.all()), last).lost == 0 })
	if v := judge(published(tl.all()), last); v.inversions > 0 {
		t.Errorf("%v", v)
	}
}

// TestOrderlyEnd: a relay that is told to end stores where it is.
func TestOrderlyEnd(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	for n := range 50 {
		e.write(e.event("a", n+1))
		if n%10 == 9 {
			r := e.run(e.config())
			tl.await(t, n-4)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	e.run(e.config())
	if diff := cmp.Diff(count(50), published(tl.await(t, 50))["a"]); diff != "" {
		t.Error(diff)
	}
}

// TestEndWhileKafkaIsAway: a relay that is told to end does not wait for ever, and
// what it was sending is sent by the next.
func TestEndWhileKafkaIsAway(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	sending := make(chan struct{}, 10)
	cfg := e.config()
	cfg.Brokers, cfg.ShutdownTimeout = []string{silence(t)}, 50*time.Millisecond
	cfg.Fault = func(point string) {
		if point == FaultSending {
			sending <- struct{}{}
		}
	}
	r := e.run(cfg)
	e.write(e.event("a", 1))
	<-sending
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	e.run(e.config())
	if got := published(tl.await(t, 1)); !slices.Equal(got["a"], []int{1}) {
		t.Errorf("got %v", got)
	}
}

// TestBrokerRestarts: the broker goes down and comes back under the load. The
// idempotent producer repeats nothing, and nothing is lost.
func TestBrokerRestarts(t *testing.T) {
	b := brokertest.Start(t)
	e := newEnvWith(t, pgserver.NewDatabase(t), []string{b.Addr()})
	w := e.workload(5)
	cfg := e.config()
	cfg.BatchRows = 50
	e.run(cfg)
	for round := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		writers := make(chan error, 1)
		go func() { writers <- w.run(ctx, 2, 1<<40) }()
		target := int64(200 * (round + 1))
		eventually(t, "events are written", func() bool { return w.commits.Load() > target })
		b.Restart()
		cancel()
		if err := <-writers; err != nil {
			t.Fatal(err)
		}
	}
	if v := w.check(t, e.tail(e.topic)); v.repeated > 0 {
		t.Errorf("%v", v)
	}
}

// TestConfig: what cannot work is refused at once, and says why.
func TestConfig(t *testing.T) {
	ok := Config{DatabaseURL: "postgres://localhost/db", Brokers: []string{"localhost:9092"}}
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no database":     {func(c *Config) { c.DatabaseURL = "" }, "DatabaseURL"},
		"bad URL":         {func(c *Config) { c.DatabaseURL = "postgres://%zz" }, "DatabaseURL"},
		"no brokers":      {func(c *Config) { c.Brokers = nil }, "Brokers"},
		"negative":        {func(c *Config) { c.PollMin = -1 }, "negative"},
		"not idempotent":  {func(c *Config) { c.ClientOpts = []kgo.Opt{kgo.DisableIdempotentWrite()} }, "idempotent"},
		"transactional":   {func(c *Config) { c.ClientOpts = []kgo.Opt{kgo.TransactionalID("x")} }, "transactional"},
		"no such option":  {func(c *Config) { c.ClientOpts = []kgo.Opt{kgo.ProducerBatchMaxBytes(-1)} }, "batch bytes"},
		"weak acks":       {func(c *Config) { c.ClientOpts = []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck())} }, ""},
		"the defaults do": {func(*Config) {}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := ok
			tt.change(&cfg)
			_, err := NewRelay(cfg)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	reg := prometheus.NewRegistry()
	ok.Metrics = reg
	if _, err := NewRelay(ok); err != nil {
		t.Error(err)
	}
	if _, err := NewRelay(ok); err == nil {
		t.Error("two relays share one set of metrics")
	}
}
