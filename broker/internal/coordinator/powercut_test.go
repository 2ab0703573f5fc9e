package coordinator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/powercut"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

var chains = powercut.ChainFlags(100)

// TestPowerCuts runs everything under the request handlers — topics, logs, groups and
// transactions — under each flush policy, cuts the power or kills the process at any
// moment, and holds what comes back against the history of all lives before.
func TestPowerCuts(t *testing.T) {
	first, n, alone := chains.Chosen()
	var tally powercut.Tally
	if !alone {
		t.Cleanup(func() {
			tally.Report(t, int(n)*livesPerChain/2, powercut.Append, powercut.Roll, powercut.Retention, powercut.Checkpoint, powercut.Cleaning, powercut.Swap,
				powercut.Journal, powercut.JournalWrap, powercut.Create, powercut.Delete, powercut.ClusterLog, powercut.Recovery, powercut.OpenTxn)
		})
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newChain(t, seed)
			for range livesPerChain {
				c.life(&tally)
			}
		})
	}
}

const livesPerChain = 8

// chain is a data directory that lives, is cut, and lives again.
type chain struct {
	t       *testing.T
	rng     *rand.Rand
	mem     *fsys.Mem
	storage commitlog.CommitterConfig
	h       *history.History // of all lives so far
	facts   *facts
	clock   *history.Recorder
	values  int
	power   bool  // the power was cut since the last check
	ends    *ends // since then
}

func newChain(t *testing.T, seed uint64) *chain {
	rng := rand.New(rand.NewPCG(seed, 2))
	return &chain{
		t: t, rng: rng, mem: fsys.NewMem(), clock: &history.Recorder{},
		h:     &history.History{Whole: map[history.Log]bool{}},
		facts: (&facts{}).clone(), ends: newEnds(),
		storage: commitlog.CommitterConfig{
			Flush:    []commitlog.Flush{commitlog.FlushGroup, commitlog.FlushGroup, commitlog.FlushInterval, commitlog.FlushOS}[seed%4],
			Interval: 3 * time.Millisecond, MarkBytes: 2500, JournalAfter: 3, JournalBytes: []int64{-1, 20 << 10, 40 << 10}[rng.IntN(3)],
			CleanEvery: 2 * time.Millisecond,
		},
	}
}

// life opens the node, checks it, works until the cut, and leaves what that left.
func (c *chain) life(tally *powercut.Tally) {
	w := &workload{t: c.t, rng: c.rng, rec: c.clock, facts: c.facts, producers: map[string]*producer{}, values: &c.values}
	w.rec.Change(func(h *history.History) { *h = *c.h })
	var left *fsys.Mem
	var then *history.History
	var known *facts
	var unchecked, again bool
	power, seed := c.rng.IntN(3) > 0, c.rng.Uint64()
	var gone atomic.Bool
	// The disk and the history at one moment.
	cut := func(phases ...powercut.Phase) {
		w.rec.Change(func(h *history.History) {
			then, known, unchecked, again = h.Clone(), c.facts.clone(), c.power || power, c.power
			if power {
				left = c.mem.Crash(seed)
			} else {
				left = c.mem.Kill()
			}
		})
		tally.Count(power, phases...)
		gone.Store(true)
	}
	trigger := powercut.Pick(c.rng, 250, powercut.Roll, powercut.Retention, powercut.Checkpoint, powercut.Cleaning, powercut.Swap, powercut.Journal,
		powercut.JournalWrap, powercut.JournalWrap, powercut.JournalWrap, // the rarest
		powercut.Create, powercut.Delete, powercut.Delete, powercut.ClusterLog, powercut.Recovery, powercut.OpenTxn)
	var watch powercut.Watch
	fs := &fsys.Faulty{FS: c.mem, Hook: func(call fsys.Call) error {
		if call.Mutates() {
			if phase := watch.Phase(call); trigger.Hit(phase) {
				cut(phase)
			}
		}
		return nil
	}}
	watch.Recovering(true)
	n, err := tryNode(c.t, fs, c.storage, patient, c.ends)
	if err != nil {
		c.t.Fatalf("recovery: %v", err)
	}
	w.n = n
	c.recover(w)
	watch.Recovering(false)
	w.wholeTopics()
	for range 80 {
		if gone.Load() {
			break
		}
		w.step()
		if w.openTxns() && trigger.Hit(powercut.OpenTxn) {
			cut(powercut.OpenTxn)
		}
	}
	n.close()
	if !gone.Load() {
		cut(powercut.Idle)
	}
	c.mem, c.h, c.facts, c.power = left, then, known, unchecked
	if !again {
		c.ends = newEnds()
	}
}

// recover checks what came back.
func (c *chain) recover(w *workload) {
	at := w.rec.Tick()
	kept := map[history.Log]int64{}
	// What a start writes, to end transactions, comes behind what was kept, and may be
	// there already: now, or from a start that was cut before its check.
	w.each(func(_ *partition.Partition, t *cluster.Topic, i int32) {
		kept[logName(t, i)] = c.ends.of(logName(t, i))
	})
	w.rec.Change(func(h *history.History) {
		switch {
		case !c.power:
		case c.storage.Flush == commitlog.FlushGroup:
			h.Cut(at, nil)
		default:
			h.Cut(at, kept)
		}
		c.power = false
	})
	w.checkFacts()
	w.checkAll()
}

// checkAll ends what is open, reads everything, and checks the history.
func (w *workload) checkAll() {
	w.t.Helper()
	w.n.groups.Load()
	w.n.txns.Load()
	w.each(func(*partition.Partition, *cluster.Topic, int32) {}) // all are open
	w.n.settleChecks()
	for _, id := range workTxns {
		// Who comes new ends what the one before left open, and waits for its markers.
		if r := w.n.txns.Init(context.Background(), id, time.Minute, -1, -1); r.Code != 0 {
			w.t.Fatalf("transactional id %s does not go on: code %d", id, r.Code)
		}
	}
	w.each(func(p *partition.Partition, t *cluster.Topic, i int32) {
		w.nothingOpen(p, t, i)
		for _, iso := range []partition.Isolation{partition.ReadUncommitted, partition.ReadCommitted} {
			w.read(p, t, i, iso, p.Offsets().LogStart, 1<<30, true)
		}
	})
	if offsets := w.topic(cluster.OffsetsTopic); offsets != nil {
		for i := range offsets.Partitions() {
			p, err := w.n.topics.Get(offsets, i)
			if err != nil {
				w.t.Fatal(err)
			}
			w.n.settleChecks()
			w.nothingOpen(p, offsets, i)
		}
	}
	if w.topic("t") != nil {
		for _, g := range []string{"g0", "g1", "g2", "in-x0", "in-x1"} {
			if code := w.fetchOffsets(g); code != 0 {
				w.t.Fatalf("the offsets of group %s cannot be told: code %d", g, code)
			}
		}
	}
	if found := history.Check(w.rec.Snapshot()); len(found) > 0 {
		w.each(w.dump)
		w.t.Fatalf("after the cut (%s, flush policy %d):\n%s", w.t.Name(), w.n.flush, history.Format(found))
	}
}

// nothingOpen checks that no transaction is open in a partition.
func (w *workload) nothingOpen(p *partition.Partition, t *cluster.Topic, i int32) {
	w.t.Helper()
	if o := p.Offsets(); o.LastStable != o.HighWatermark {
		w.dump(p, t, i)
		w.t.Fatalf("%s has an open transaction: %+v", logName(t, i), o)
	}
}

// dump logs the batches of a partition, for who looks at a failure.
func (w *workload) dump(p *partition.Partition, t *cluster.Topic, index int32) {
	var b strings.Builder
	for next := p.Offsets().LogStart; ; {
		res, err := p.Read(next, 1<<20, partition.ReadUncommitted, true)
		if err != nil || len(res.Records) == 0 {
			break
		}
		record.Each(res.Records, func(batch []byte) bool {
			info, _ := record.ParseHeader(batch)
			marker, isMarker, _ := record.ParseMarker(batch)
			fmt.Fprintf(&b, "\n%d-%d leader epoch %d producer %d/%d transactional %v", info.BaseOffset, info.LastOffset(), info.LeaderEpoch, info.ProducerID, info.ProducerEpoch, info.Transactional())
			if info.Control() && isMarker {
				fmt.Fprintf(&b, " commit %v", marker.Commit)
			}
			next = info.NextOffset()
			return true
		})
	}
	res, _ := p.Read(p.Offsets().LogStart, 1<<30, partition.ReadCommitted, true)
	w.t.Logf("%s %+v aborted %v:%s", logName(t, index), p.Offsets(), res.Aborted, &b)
}
