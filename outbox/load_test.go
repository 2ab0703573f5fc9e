package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// workload is what hurts outboxes: concurrent writers of few keys, half of which
// have taken their transaction number before they wait for the key's lock, some
// of which roll back, the whole transaction or a savepoint in it.
type workload struct {
	e       *env
	keys    int
	claimed bool // also fill the table of the claiming strategy

	commits atomic.Int64
	mu      sync.Mutex
	ids     map[item]uuid.UUID // what was committed
}

func (e *env) workload(keys int) *workload {
	e.t.Helper()
	e.exec("CREATE TABLE agg (k text PRIMARY KEY, v int NOT NULL)")
	e.exec("CREATE TABLE unrelated (n int)")
	e.exec("INSERT INTO agg SELECT 'k' || g, 0 FROM generate_series(0, $1::int - 1) g", keys)
	return &workload{e: e, keys: keys, ids: map[item]uuid.UUID{}}
}

// run lets writers write until that context ends or enough is committed. A transaction under
// way is not cut short: nobody could tell whether it committed.
func (w *workload) run(until context.Context, writers int, enough int64) error {
	ctx := context.WithoutCancel(until)
	errs := make(chan error, writers)
	for i := range writers {
		go func() {
			conn, err := pgx.Connect(ctx, w.e.url)
			if err != nil {
				errs <- err
				return
			}
			defer conn.Close(context.Background())
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for err == nil && until.Err() == nil && w.commits.Load() < enough {
				err = w.transaction(ctx, conn, rng)
			}
			errs <- err
		}()
	}
	var all error
	for range writers {
		all = errors.Join(all, <-errs)
	}
	return all
}

func (w *workload) transaction(ctx context.Context, conn *pgx.Conn, rng *rand.Rand) error {
	key := fmt.Sprintf("k%d", rng.IntN(w.keys))
	var written item
	id := uuid.New()
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if rng.IntN(2) == 0 {
			if _, err := tx.Exec(ctx, "INSERT INTO unrelated VALUES (1)"); err != nil {
				return err
			}
		}
		if rng.IntN(10) == 0 {
			err := pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
				return errors.Join(Write(ctx, sp, w.e.event(key, -1)), errRollback)
			})
			if !errors.Is(err, errRollback) {
				return err
			}
		}
		var v int
		if err := tx.QueryRow(ctx, "UPDATE agg SET v = v + 1 WHERE k = $1 RETURNING v", key).Scan(&v); err != nil {
			return err
		}
		if w.claimed {
			if _, err := tx.Exec(ctx, "INSERT INTO claimed (key, value) VALUES ($1, $2)", key, v); err != nil {
				return err
			}
		}
		ev := w.e.event(key, v)
		ev.ID, written = id, item{key, v}
		if err := Write(ctx, tx, ev); err != nil {
			return err
		}
		if rng.IntN(20) == 0 {
			return errRollback
		}
		return nil
	})
	switch {
	case err == nil:
		w.commits.Add(1)
		w.mu.Lock()
		w.ids[written] = id
		w.mu.Unlock()
		return nil
	case errors.Is(err, errRollback):
		return nil
	}
	return err
}

// check compares the topic with what was committed.
func (w *workload) check(t *testing.T, tl *tail) verdict {
	t.Helper()
	eventually(t, "every committed event is published", func() bool { return len(published2ids(tl)) >= len(w.ids) })
	records := tl.all()
	last := w.e.last()
	total := 0
	for _, n := range last {
		total += n
	}
	if total != len(w.ids) {
		t.Fatalf("the test lost count: %d counted, %d committed", total, len(w.ids))
	}
	for _, it := range published2ids(tl) {
		if _, committed := w.ids[it]; !committed {
			t.Errorf("published, although it was never committed: %v", it)
		}
	}
	v := judge(published(records), last)
	if v.lost > 0 || v.inversions > 0 {
		t.Errorf("of %d events: %v", len(w.ids), v)
	}
	return v
}

// published2ids returns the distinct events of a topic.
func published2ids(tl *tail) map[string]item {
	out := map[string]item{}
	for key, ns := range published(tl.all()) {
		for _, n := range ns {
			it := item{key, n}
			out[fmt.Sprint(it)] = it
		}
	}
	return out
}

// TestOrderUnderLoad runs the relay and, as a control of the test itself, every
// known-bad strategy, all on the same writes.
func TestOrderUnderLoad(t *testing.T) {
	e := newEnv(t)
	w := e.workload(20)
	e.exec("CREATE TABLE claimed (seq bigserial, key text, value int)")
	w.claimed = true
	tl := e.tail(e.topic)
	cfg := e.config()
	cfg.RotateRows, cfg.RotateAfter = 1<<40, time.Hour // the controls read the tables too
	e.run(cfg)

	ctx, cancel := context.WithCancel(t.Context())
	controls := map[string]*control{}
	var readers sync.WaitGroup
	for _, name := range []string{"id cursor", "xid gate", "gated id cursor"} {
		c := &control{got: map[string][]int{}}
		controls[name] = c
		s := strategies[name](t, e.url)
		readers.Go(func() { c.follow(ctx, t, s) })
	}
	claim := &control{got: map[string][]int{}}
	controls["skip locked"] = claim
	for range 2 {
		s := &claimer{conn: connectTo(t, e.url), publish: claim.add}
		readers.Go(func() { claim.follow(ctx, t, s) })
	}

	// A control is caught by chance, if almost certainly: go on until all are.
	caught := func() bool {
		last := e.last()
		for _, c := range controls {
			if v := c.verdict(last); v.inversions == 0 && v.lost == 0 {
				return false
			}
		}
		return true
	}
	for enough := int64(2000); ; enough += 1000 {
		if err := w.run(t.Context(), 8, enough); err != nil {
			t.Fatal(err)
		}
		v := w.check(t, tl)
		if v.repeated > 0 {
			t.Errorf("without a fault %d events were repeated", v.repeated)
		}
		if caught() || enough > 20_000 || t.Failed() {
			break
		}
	}
	cancel()
	readers.Wait()
	last := e.last()
	for name, c := range controls {
		v := c.verdict(last)
		t.Logf("%d commits, %s: %v", w.commits.Load(), name, v)
		if v.inversions == 0 && v.lost == 0 {
			t.Errorf("%s was not caught: this test proves nothing", name)
		}
	}
}

// control is a strategy that runs beside the relay.
type control struct {
	mu  sync.Mutex
	got map[string][]int
}

func (c *control) add(items []item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range items {
		c.got[it.key] = append(c.got[it.key], it.n)
	}
}

// verdict ignores what is merely not read yet: the events behind each key's highest.
func (c *control) verdict(last map[string]int) verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	reached := map[string]int{}
	for key := range last {
		for _, n := range c.got[key] {
			reached[key] = max(reached[key], n)
		}
	}
	return judge(c.got, reached)
}

func (c *control) follow(ctx context.Context, t *testing.T, s strategy) {
	for ctx.Err() == nil {
		items, err := s.next(ctx)
		if err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
		c.add(items)
	}
}

// claimer is one of several relays that claim by DELETE … SKIP LOCKED.
type claimer struct {
	conn    *pgx.Conn
	publish func([]item)
}

func (s *claimer) next(ctx context.Context) (none []item, err error) {
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `WITH gone AS (DELETE FROM claimed WHERE seq IN
			(SELECT seq FROM claimed ORDER BY seq LIMIT 5 FOR UPDATE SKIP LOCKED) RETURNING seq, key, value)
			SELECT convert_to(key, 'UTF8'), convert_to(value::text, 'UTF8') FROM gone ORDER BY seq`)
		items, err := collect(rows, err)
		s.publish(items)
		return err
	})
	return nil, err
}

// TestOrderManyKeys: little contention, other batch sizes, rotation all the time.
func TestOrderManyKeys(t *testing.T) {
	e := newEnv(t)
	w := e.workload(500)
	tl := e.tail(e.topic)
	cfg := e.config()
	cfg.BatchRows, cfg.RotateRows = 3, 50
	r := e.run(cfg)
	if err := w.run(t.Context(), 4, 1500); err != nil {
		t.Fatal(err)
	}
	r.Hint()
	if v := w.check(t, tl); v.repeated > 0 {
		t.Errorf("without a fault %d events were repeated", v.repeated)
	}
}
