package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

func TestMain(m *testing.M) {
	if os.Getenv("OUTBOX_HELPER") != "" {
		helper()
	}
	goleak.VerifyTestMain(m)
}

// helper is the other program that this binary is: a relay that kills itself at a
// fault point.
func helper() {
	hits, _ := strconv.Atoi(os.Getenv("OUTBOX_HITS"))
	var n atomic.Int64
	r, err := NewRelay(Config{
		DatabaseURL: os.Getenv("OUTBOX_DATABASE"), Brokers: strings.Split(os.Getenv("OUTBOX_BROKERS"), ","),
		BatchRows: 7, RotateRows: 20, pingTimeout: 3 * time.Minute,
		Fault: func(point string) {
			if point == os.Getenv("OUTBOX_POINT") && n.Add(1) >= int64(hits) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		},
	})
	if err == nil {
		err = r.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, "helper:", err)
	os.Exit(1)
}

// env is what a test works with: a migrated database and a topic of its own.
type env struct {
	t       *testing.T
	url     string
	pool    *pgxpool.Pool
	brokers []string
	admin   *kadm.Client
	topic   string
}

func newEnv(t *testing.T) *env {
	t.Helper()
	return newEnvOn(t, pgserver.NewDatabase(t))
}

func newEnvOn(t *testing.T, url string) *env {
	t.Helper()
	return newEnvWith(t, url, brokertest.Brokers(t))
}

func newEnvWith(t *testing.T, url string, brokers []string) *env {
	t.Helper()
	e := &env{t: t, url: url, brokers: brokers}
	e.pool = openPool(t, url)
	if err := Migrate(t.Context(), e.pool); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	e.admin = kadm.NewClient(cl)
	e.topic = e.newTopic(3, nil)
	return e
}

func openPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func (e *env) newTopic(partitions int32, configs map[string]*string) string {
	e.t.Helper()
	name := "outbox." + uuid.NewString()
	if _, err := e.admin.CreateTopic(e.t.Context(), partitions, 1, configs, name); err != nil {
		e.t.Fatal(err)
	}
	return name
}

// config is a relay's configuration for this environment. A relay that is told to
// end has all the time it needs to note what it has published, and a server that is
// slow has not lost the session: what is not noted is published again.
func (e *env) config() Config {
	return Config{DatabaseURL: e.url, Brokers: e.brokers, ShutdownTimeout: 3 * time.Minute, pingTimeout: 3 * time.Minute}
}

// running is a relay that runs until it is stopped, or the test ends.
type running struct {
	*Relay
	t    *testing.T
	stop func() error // ends it and returns what Run returned
}

func (e *env) run(cfg Config) *running {
	e.t.Helper()
	r, err := NewRelay(cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	e.t.Cleanup(func() {
		if err := stop(); err != nil {
			e.t.Errorf("relay: %v", err)
		}
	})
	return &running{Relay: r, t: e.t, stop: stop}
}

// runFails runs a relay that is expected to refuse.
func (e *env) runFails(cfg Config) error {
	e.t.Helper()
	r, err := NewRelay(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), 3*time.Minute)
	defer cancel()
	if err := r.Run(ctx); err != nil {
		return err
	}
	e.t.Fatal("the relay did not refuse")
	return nil
}

func (e *env) exec(sql string, args ...any) {
	e.t.Helper()
	if _, err := e.pool.Exec(e.t.Context(), sql, args...); err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
}

func (e *env) int(sql string, args ...any) (n int64) {
	e.t.Helper()
	if err := e.pool.QueryRow(e.t.Context(), sql, args...).Scan(&n); err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// write commits events in one transaction.
func (e *env) write(events ...Event) {
	e.t.Helper()
	if err := pgx.BeginFunc(e.t.Context(), e.pool, func(tx pgx.Tx) error { return Write(e.t.Context(), tx, events...) }); err != nil {
		e.t.Fatal(err)
	}
}

// event is the n-th event of a key, for writers that need no lock: one at a time.
func (e *env) event(key string, n int) Event {
	return Event{Topic: e.topic, Key: []byte(key), Value: []byte(strconv.Itoa(n))}
}

// tail follows a topic from its beginning.
type tail struct {
	mu      sync.Mutex
	records []*kgo.Record // per partition in order
}

func (e *env) tail(topic string) *tail {
	e.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		e.t.Fatal(err)
	}
	tl := &tail{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			tl.mu.Lock()
			tl.records = append(tl.records, fetches.Records()...)
			tl.mu.Unlock()
		}
	}()
	e.t.Cleanup(func() {
		cancel()
		<-done
		cl.Close()
	})
	return tl
}

func (tl *tail) all() []*kgo.Record {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	return append([]*kgo.Record(nil), tl.records...)
}

// await returns the records once there are n.
func (tl *tail) await(t *testing.T, n int) []*kgo.Record {
	t.Helper()
	eventually(t, fmt.Sprintf("%d records", n), func() bool { return len(tl.all()) >= n })
	return tl.all()
}

// published returns the values, by key.
func published(records []*kgo.Record) map[string][]int {
	out := map[string][]int{}
	for _, r := range records {
		n, _ := strconv.Atoi(string(r.Value))
		out[string(r.Key)] = append(out[string(r.Key)], n)
	}
	return out
}

// verdict is what became of events whose values count 1, 2, 3 … within each key.
type verdict struct{ lost, inversions, repeated int }

func (v verdict) String() string {
	return fmt.Sprintf("lost %d, inversions %d, repeated %d", v.lost, v.inversions, v.repeated)
}

// judge compares what was published with what was committed: keys maps each key to
// its last value. A repetition is no inversion: consumers know the event's id.
func judge(byKey map[string][]int, last map[string]int) (v verdict) {
	for key, n := range last {
		seen := map[int]bool{}
		highest := 0
		for _, x := range byKey[key] {
			switch {
			case seen[x]:
				v.repeated++
			case x < highest:
				v.inversions++
			}
			seen[x] = true
			highest = max(highest, x)
		}
		for x := 1; x <= n; x++ {
			if !seen[x] {
				v.lost++
			}
		}
	}
	return v
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within three minutes: %s", what)
		}
	}
}

// rollback makes a transaction function fail without being an error.
var errRollback = errors.New("rolled back on purpose")
