package coordinator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/topics"
)

// TestEveryCallFails fails each call to the file system once, in turn, in each way,
// under topics, logs, groups and transactions. What is told afterwards, while it runs
// and after a start, keeps to the history.
func TestEveryCallFails(t *testing.T) {
	for _, f := range []struct {
		err  error
		ops  string // empty = every call that changes something
		want string // what must have been hit
	}{
		{fsys.ErrIO, "", "write sync rename truncate create syncdir remove mkdir"},
		{fsys.ErrNoSpace, "write create mkdir rename", "write create rename"},
		{fsys.ErrShort, "write", "write"},
	} {
		t.Run(f.err.Error(), func(t *testing.T) {
			t.Parallel()
			ops := map[string]int{}
			for n := int64(0); ; n++ {
				op := failOnce(t, n, f.err, strings.Fields(f.ops))
				if op == "" {
					break
				}
				ops[op]++
			}
			t.Logf("calls failed once: %v", ops)
			for _, op := range strings.Fields(f.want) {
				if ops[op] == 0 {
					t.Errorf("no %s was made to fail", op)
				}
			}
		})
	}
}

// failOnce works on a node whose n-th call, of those named by ops, fails, starts it
// anew and checks. It returns which call that was; none when there were fewer.
func failOnce(t *testing.T, n int64, fault error, ops []string) string {
	var failed atomic.Pointer[string]
	mem, hook := fsys.NewMem(), fsys.Nth(n, fault)
	fs := &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
		if len(ops) > 0 && !slices.Contains(ops, c.Op) {
			return nil
		}
		err := hook(c)
		if err != nil {
			op := c.Op
			failed.Store(&op)
		}
		return err
	}}
	storage := commitlog.CommitterConfig{MarkBytes: 1500, JournalAfter: 3, JournalBytes: 20 << 10, CleanEvery: time.Millisecond}
	values := 0
	w := &workload{
		t: t, rng: rand.New(rand.NewPCG(5, 5)), rec: &history.Recorder{}, facts: (&facts{}).clone(), values: &values, producers: map[string]*producer{},
	}
	w.rec.Change(func(h *history.History) { h.Whole = map[history.Log]bool{} })
	node, err := tryNode(t, fs, storage, 20*time.Millisecond, newEnds())
	if err == nil {
		w.n = node
		w.wholeTopics()
		for range 30 {
			if w.topic("t") == nil {
				break // its creation failed, and nothing works without it
			}
			w.step()
		}
		w.settle(0)
		node.abandon()
	}
	for _, left := range []*fsys.Mem{mem.Kill(), mem.Crash(uint64(n))} {
		again, err := tryNode(t, left, storage, patient, newEnds())
		if err != nil {
			t.Fatalf("call %d: open afterwards: %v", n, err)
		}
		x := &workload{t: t, rng: w.rng, n: again, rec: &history.Recorder{}, facts: w.facts.clone(), values: &values, producers: map[string]*producer{}}
		x.rec.Change(func(h *history.History) { *h = *w.rec.Snapshot() })
		for at := w.rec.Tick(); x.rec.Tick() < at; { // its time goes on
		}
		x.rec.Change(func(h *history.History) { h.Cut(x.rec.Tick(), nil) })
		x.checkFacts()
		x.checkAll()
		again.close()
		if t.Failed() {
			t.Fatalf("call %d (%s)", n, fault)
		}
	}
	if op := failed.Load(); op != nil {
		return *op
	}
	return ""
}

// TestDirectoryOfADeletedTopic: where a deleted topic's directory could not be removed, a
// topic made again under its name gets one of its own.
func TestDirectoryOfADeletedTopic(t *testing.T) {
	var failing atomic.Bool
	fs := &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if failing.Load() && strings.Contains(c.Name, "/topics/") && (c.Op == "rename" || c.Op == "removeall") {
			return fsys.ErrIO
		}
		return nil
	}}
	n := openNode(t, fs)
	defer n.close()
	make := func() *cluster.Topic {
		if err := n.cluster.Propose(t.Context(), &cluster.CreateTopic{Name: "t", ID: cluster.NewID(), Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		return n.cluster.Image().Topic("t")
	}
	first := make()
	if _, err := n.topics.Get(first, 0); err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	if err := n.cluster.Propose(t.Context(), &cluster.DeleteTopic{ID: first.ID}); err != nil {
		t.Fatal(err)
	}
	failing.Store(false)
	if p, err := n.topics.Get(make(), 0); err != nil || p.Offsets().LogEnd != 0 {
		t.Fatal(err)
	}
}

// TestOpenWithoutSpaceHeals: a partition that cannot be made for lack of space is made
// once there is some. What failed otherwise is not tried again, and no failed sync is.
func TestOpenWithoutSpaceHeals(t *testing.T) {
	for _, tt := range []struct {
		op    string
		fault error
		heals bool
	}{
		{"mkdir", fsys.ErrNoSpace, true},
		{"create", fsys.ErrNoSpace, true},
		{"write", fsys.ErrShort, true},
		{"create", fsys.ErrIO, false},
		{"sync", fsys.ErrNoSpace, false},
		{"syncdir", fsys.ErrNoSpace, false},
	} {
		t.Run(fmt.Sprintf("%s %v", tt.op, tt.fault), func(t *testing.T) {
			t.Parallel()
			var failing atomic.Bool
			hook := func(c fsys.Call) error {
				if failing.Load() && strings.Contains(c.Name+"/", "/topics/") && c.Op == tt.op {
					return tt.fault
				}
				return nil
			}
			mem := fsys.NewMem()
			n := openNode(t, &fsys.Faulty{FS: mem, Hook: hook})
			topic := n.create("t", 1)
			if tt.op == "sync" { // of a log that a kill left with something to sync
				p, err := n.topics.Get(topic, 0)
				if err != nil {
					t.Fatal(err)
				}
				a, err := p.Append(record.EndTxn(1, 0, record.Marker{}, 1), partition.Coordinator)
				if err != nil {
					t.Fatal(err)
				}
				<-a.Durable()
				left := mem.Kill()
				n.close()
				n = openNode(t, &fsys.Faulty{FS: left, Hook: hook})
				topic = n.cluster.Image().Topic("t")
			}
			defer n.close()
			failing.Store(true)
			_, err := n.topics.Get(topic, 0)
			if code, ok := topics.Code(err); !ok || code != record.CodeStorageError {
				t.Fatal(err)
			}
			failing.Store(false)
			n.ahead.Store(int64(time.Minute)) // much later
			if _, err := n.topics.Get(topic, 0); (err == nil) != tt.heals {
				t.Errorf("then %v", err)
			}
			if stopped := n.topics.Stopped(); (stopped == 0) != tt.heals {
				t.Errorf("%d partitions count as stopped", stopped)
			}
		})
	}
}
