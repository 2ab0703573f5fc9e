package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/registry"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// childEnv makes the test binary run a relay, to be killed.
const childEnv = "CDC_TEST_CHILD"

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		os.Exit(runChild(config))
	}
	goleak.VerifyTestMain(m)
}

// child is the configuration of a relay in a process of its own. It ends itself,
// as kill -9 would, when it has passed a point of the relay so many times.
type child struct {
	PostgresURL string
	Source      Source
	Brokers     []string
	RegistryURL string
	StateTopic  string
	Point       string
	Times       int64
}

func runChild(config string) int {
	var c child
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var seen atomic.Int64
	r, err := New(Config{
		PostgresURL: c.PostgresURL, Sources: []Source{c.Source}, Brokers: c.Brokers, RegistryURL: c.RegistryURL, StateTopic: c.StateTopic,
		ConfirmInterval: 10 * time.Millisecond, LeaseInterval: 10 * time.Millisecond, MemoryLimit: 128 << 10,
		Fault: func(point string) {
			if point == c.Point && seen.Add(1) == c.Times { // never, if that is 0
				_ = kill(os.Getpid())
				select {}
			}
		},
	})
	if err == nil {
		err = r.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// startRegistry starts the platform's registry on a topic of the test's own, from
// which records are decoded as other services do.
func (b *bed) startRegistry() (url string) {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := registry.Open(b.t.Context(), registry.Config{Brokers: b.brokers, Topic: b.source.TopicPrefix + ".schemas", Listener: l, Logger: testLogger(b.t)})
	if err != nil {
		b.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	b.t.Cleanup(func() {
		_ = s.Close()
		<-served
	})
	url = "http://" + s.Addr()
	reader, err := serde.New(url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(reader.Close)
	b.value = func(value []byte) any {
		_, v, err := reader.DecodeAny(context.Background(), value)
		if err != nil {
			b.t.Fatal(err)
		}
		return v
	}
	return url
}

// spawn starts a relay in a process of its own.
func (b *bed) spawn(registryURL, point string, times int64) *exec.Cmd {
	b.t.Helper()
	config, err := json.Marshal(child{b.url, b.source, b.brokers, registryURL, b.source.TopicPrefix + ".state", point, times})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	out := &bytes.Buffer{}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.t.Failed() && out.Len() > 0 {
			b.t.Log(out.String())
		}
	})
	return cmd
}

// accounts writes transactions that change several rows, early and late, with
// savepoints and rollbacks, small and large, and remembers what was committed.
type accounts struct {
	mu        sync.Mutex
	committed map[string]bool // "id:v"
}

func (a *accounts) run(ctx context.Context, b *bed, writers int) (wait func()) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 2))
			for ctx.Err() == nil {
				a.transaction(ctx, b, rnd)
			}
		})
	}
	return wg.Wait
}

func (a *accounts) transaction(ctx context.Context, b *bed, rnd *rand.Rand) {
	whole := context.WithoutCancel(ctx)
	tx, err := b.sql.Begin(ctx)
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback(whole) }()
	var done []string
	change := func(from, to int) bool {
		rows, err := tx.Query(whole, "UPDATE items SET v = v + 1 WHERE id IN (SELECT id FROM items WHERE id BETWEEN $1 AND $2 ORDER BY id FOR UPDATE) RETURNING id || ':' || v", from, to)
		if err != nil {
			return false
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if rows.Scan(&s) == nil {
				done = append(done, s)
			}
		}
		return rows.Err() == nil
	}
	if rnd.IntN(2) == 0 { // takes its place in the log early
		if _, err := tx.Exec(whole, "INSERT INTO noise VALUES ($1)", rnd.Int64()); err != nil {
			return
		}
	}
	from := 1 + rnd.IntN(40)
	to := from + rnd.IntN(3)
	if rnd.IntN(20) == 0 {
		from, to = 1, 600 // large: streamed before its end
	}
	if !change(from, to) {
		return
	}
	if rnd.IntN(4) == 0 {
		kept := len(done)
		sub, err := tx.Begin(whole)
		if err != nil {
			return
		}
		ok := change(to+1, to+1+rnd.IntN(3)*200)
		if rnd.IntN(2) == 0 || !ok {
			if sub.Rollback(whole) != nil {
				return
			}
			done = done[:kept]
		} else if sub.Commit(whole) != nil {
			return
		}
	}
	if rnd.IntN(20) == 0 {
		return // rolled back
	}
	// Under the lock, so that what is committed is known when writing stops.
	a.mu.Lock()
	defer a.mu.Unlock()
	if tx.Commit(whole) == nil {
		for _, s := range done {
			a.committed[s] = true
		}
	}
}

// TestKilled: the relay's process is killed again and again, at every point
// where it matters and at random, while transactions interleave. Nothing
// committed is missing, nothing else is there, each key is in order.
func TestKilled(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY, v int, filler text)", "CREATE TABLE noise (v bigint)",
		"INSERT INTO items SELECT g, 0, repeat('x', 100) FROM generate_series(1, 600) g")
	b.exec("DROP PUBLICATION quokka_cdc", "CREATE PUBLICATION quokka_cdc FOR TABLE items")
	b.streamLarge()
	registryURL := b.startRegistry()
	a := &accounts{committed: map[string]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := a.run(ctx, b, 4)

	rnd := rand.New(rand.NewPCG(3, 4))
	rounds := []struct {
		point string
		times int64
	}{
		// The first three never get beyond the slot, the next two not beyond the
		// snapshot.
		{"slot.create", 1}, {"slot.created", 1}, {"slot.created", 1}, {"snapshot.row", 300}, {"snapshot.written", 1}, {"snapshot.noted", 1},
		{"transaction.begin", 50}, {"transaction.sent", 50}, {"progress.stored", 3}, {"progress.confirmed", 3},
		{"transaction.begin", 0}, {"transaction.begin", 0}, {"transaction.sent", 200}, {"progress.stored", 1}, {"transaction.begin", 0}, {"transaction.begin", 0},
	}
	for _, round := range rounds {
		cmd := b.spawn(registryURL, round.point, round.times)
		if round.times == 0 {
			// At a random moment of streaming.
			before := b.confirmed()
			eventually(t, "the relay streams", func() bool { return b.confirmed() > before })
			time.AfterFunc(time.Duration(rnd.IntN(50))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		select {
		case <-exited:
		case <-time.After(patience):
			t.Fatalf("the relay did not come to %s", round.point)
		}
		if code := cmd.ProcessState.ExitCode(); code != -1 {
			t.Fatalf("the relay ended by itself: %s\n%s", cmd.ProcessState, cmd.Stderr)
		}
	}
	cancel()
	wait()
	b.spawn(registryURL, "", 0)
	b.caughtUp()

	streamed := map[int32][]int32{} // by key, in the order of the topic, without repetitions
	snapshot := map[int32]int32{}   // by key, the lowest
	position := map[string]string{} // of each change
	snapshots, duplicates := 0, 0
	for _, raw := range readTopic(t, b.brokers, b.topic("items")) {
		r := b.decode(raw)
		e := r.envelope
		id, v := e.After["id"].(int32), e.After["v"].(int32)
		change := fmt.Sprintf("%d:%d", id, v)
		if v > 0 && !a.committed[change] {
			t.Errorf("%s is on the topic and was never committed", change)
		}
		if e.Op == debezium.Read {
			snapshots++
			if have, ok := snapshot[id]; !ok || v < have {
				snapshot[id] = v
			}
			continue
		}
		at := fmt.Sprintf("%d/%d", r.lsn, r.ord)
		switch before, ok := position[change]; {
		case !ok:
			position[change] = at
			streamed[id] = append(streamed[id], v)
		case before != at:
			t.Errorf("%s is at %s and at %s", change, before, at)
		default:
			duplicates++
		}
	}
	for id := range int32(600) {
		id++
		// From the snapshot, or earlier, to the end without a gap, in order.
		next := snapshot[id] + 1
		if vs := streamed[id]; len(vs) > 0 {
			next = min(next, vs[0])
		}
		for _, v := range streamed[id] {
			if v != next {
				t.Errorf("key %d: after %d comes %d", id, next-1, v)
			}
			next = v + 1
		}
		if a.committed[fmt.Sprintf("%d:%d", id, next)] {
			t.Errorf("key %d: %d and what follows is missing", id, next)
		}
	}
	t.Logf("%d changes committed, %d streamed, %d snapshot rows, %d duplicates, %d kills", len(a.committed), len(position), snapshots, duplicates, len(rounds))
	if len(position) < 1000 || len(snapshot) != 600 || duplicates == 0 {
		t.Errorf("too little happened for a test")
	}
}

// TestKilledInSnapshot: rows that a snapshot has written, and that are deleted
// before it is made again, do not stay on the topic.
func TestKilledInSnapshot(t *testing.T) {
	b := newBed(t, "CREATE TABLE first (id int PRIMARY KEY)", "CREATE TABLE second (id int PRIMARY KEY, v int)",
		"INSERT INTO first SELECT generate_series(1, 10)", "INSERT INTO second SELECT g, 0 FROM generate_series(1, 100) g")
	registryURL := b.startRegistry()
	// In the second table; the first is read and noted.
	cmd := b.spawn(registryURL, "snapshot.written", 2)
	_ = cmd.Wait()
	if got := len(b.records("second")); got != 100 {
		t.Fatalf("%d rows are written", got)
	}
	b.exec("DELETE FROM second WHERE id <= 50", "INSERT INTO second VALUES (1, 2), (1000, 2)", "UPDATE second SET v = 1 WHERE id = 60", "DELETE FROM first WHERE id = 1")
	b.spawn(registryURL, "", 0)
	b.caughtUp()
	b.agrees("first")
	b.agrees("second")
	reads := 0
	for _, r := range b.records("first") {
		if r.envelope != nil && r.envelope.Op == debezium.Read {
			reads++
		}
	}
	if reads != 10 {
		t.Errorf("%d rows read of the table that was done: it was read again", reads)
	}
	eventually(t, "the temporary slot is gone", func() bool {
		return scan[int64](b, "SELECT count(*) FROM pg_replication_slots WHERE database = $1", b.database) == 1
	})
}
