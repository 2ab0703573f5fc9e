package partition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/powercut"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestPowerCutsInCompaction cuts the power at random calls while keyed work and compaction
// go on. What is found was appended, and the last acknowledged value of each key, or a
// later one, is there.
func TestPowerCutsInCompaction(t *testing.T) {
	const seeds = 60
	var tally powercut.Tally
	t.Cleanup(func() {
		tally.Report(t, seeds*11, powercut.Append, powercut.Roll, powercut.Checkpoint, powercut.Cleaning, powercut.Swap, powercut.Recovery)
	})
	for seed := chains.First(); seed < chains.First()+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			compactionCrashes(t, seed, &tally)
		})
	}
}

// history is what was appended to one partition.
type history struct {
	mu    sync.Mutex
	all   map[int64]kv // by offset
	acked int64        // offsets below are acknowledged
}

func (h *history) clone() *history {
	c := &history{all: map[int64]kv{}, acked: h.acked}
	for k, v := range h.all {
		c.all[k] = v
	}
	return c
}

func compactionCrashes(t *testing.T, seed uint64, tally *powercut.Tally) {
	rng := rand.New(rand.NewPCG(seed, 3))
	mem, h := fsys.NewMem(), &history{all: map[int64]kv{}}
	cfg := commitlog.Config{Compact: true, SegmentBytes: int64(500 + rng.IntN(1500)), DirtyRatio: 0.01, IndexInterval: 200, DeleteRetention: time.Nanosecond}
	for epoch := int32(1); epoch < 12; epoch += 2 {
		var left *fsys.Mem
		var then *history
		crashSeed := rng.Uint64()
		trigger := powercut.Pick(rng, 400, powercut.Append, powercut.Cleaning, powercut.Swap, powercut.Swap, powercut.Roll, powercut.Checkpoint, powercut.Recovery)
		var watch powercut.Watch
		hooked := &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			if c.Mutates() {
				if phase := watch.Phase(c); trigger.Hit(phase) {
					h.mu.Lock()
					defer h.mu.Unlock()
					tally.Count(true, phase)
					then, left = h.clone(), mem.Crash(crashSeed)
				}
			}
			return nil
		}}
		watch.Recovering(true)
		e := compactionWorld(t, hooked, cfg, epoch)
		watch.Recovering(false)
		h.check(t, e)
		var pending []*Pending
		for range 150 {
			switch r := rng.IntN(20); {
			case r == 0:
				if err := e.log.Compact(); err != nil {
					t.Fatal(err)
				}
			case r < 4 && len(pending) > 0:
				last := pending[len(pending)-1]
				wait(t, last.Durable())
				h.mu.Lock()
				h.acked = last.LastOffset() + 1
				h.mu.Unlock()
				pending = pending[:0]
			default:
				pairs := make([]string, rng.IntN(4)+1)
				for i := range pairs {
					pairs[i] = fmt.Sprintf("k%d", rng.IntN(12))
					if rng.IntN(6) > 0 {
						pairs[i] += fmt.Sprintf("=%d", rng.IntN(1<<30))
					}
				}
				h.mu.Lock()
				a := e.append(keyed(record.Options{Codec: []record.Codec{record.None, record.Snappy}[rng.IntN(2)]}, time.Now().UnixMilli(), pairs...), Client)
				for i, p := range pairs {
					k, v, ok := strings.Cut(p, "=")
					if !ok {
						v = "-"
					}
					h.all[a.BaseOffset()+int64(i)] = kv{a.BaseOffset() + int64(i), k, v}
				}
				h.mu.Unlock()
				pending = append(pending, a)
			}
		}
		e.close()
		if left == nil {
			tally.Count(true, powercut.Idle)
			then, left = h.clone(), mem.Crash(crashSeed)
		}
		mem, h = left, then
		e = compactionWorld(t, mem, cfg, epoch+1)
		h.check(t, e)
		h.acked = e.Offsets().LogEnd
		mem = mem.Crash(rng.Uint64())
		tally.Count(true, powercut.Recovery)
		e.close()
	}
}

func compactionWorld(t *testing.T, fs fsys.FS, cfg commitlog.Config, epoch int32) *env {
	e := &env{TB: t, dir: "/data", fs: fs, cfg: cfg, epoch: epoch - 1, journal: 20 << 10, clean: -1}
	e.open()
	return e
}

func (h *history) check(t *testing.T, e *env) {
	t.Helper()
	o := e.Offsets()
	if o.LogEnd < h.acked {
		t.Fatalf("the log ends at %d, %d was acknowledged", o.LogEnd, h.acked)
	}
	found := records(t, e.Partition, ReadUncommitted)
	if !slices.IsSortedFunc(found, func(a, b kv) int { return int(a.offset - b.offset) }) {
		t.Fatal("offsets are out of order")
	}
	have := map[int64]bool{}
	for _, r := range found {
		have[r.offset] = true
		if h.all[r.offset] != r {
			t.Fatalf("found %+v, appended was %+v", r, h.all[r.offset])
		}
	}
	last := map[string]kv{}
	for off := range o.LogEnd {
		if r, ok := h.all[off]; ok {
			last[r.key] = r
		}
	}
	for _, r := range last {
		if r.value != "-" && !have[r.offset] {
			t.Fatalf("the last value of %s, %+v, is lost", r.key, r)
		}
	}
	// What lies beyond the end is free again.
	for off := range h.all {
		if off >= o.LogEnd {
			delete(h.all, off)
		}
	}
}

// TestCompactionFailures fails each call that a compaction makes, once.
func TestCompactionFailures(t *testing.T) {
	for n := int64(0); ; n++ {
		mem := fsys.NewMem()
		var hook atomic.Pointer[func(fsys.Call) error]
		e, now := compactEnv(t, func(e *env) {
			e.fs = &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
				if h := hook.Load(); h != nil {
					return (*h)(c)
				}
				return nil
			}}
		})
		for i := range 30 {
			e.durable(keyed(record.Options{}, now.Load(), fmt.Sprintf("a=%d", i), "b", fmt.Sprintf("c%d=1", i%5)), Client)
		}
		e.settleUpkeep()
		want := ""
		for _, r := range records(t, e.Partition, ReadUncommitted) {
			if r.key == "a" {
				want = r.value
			}
		}
		var fired atomic.Bool
		fail := fsys.Nth(n, fsys.ErrIO)
		f := func(c fsys.Call) error {
			err := fail(c)
			if err != nil {
				fired.Store(true)
			}
			return err
		}
		hook.Store(&f)
		err := e.log.Compact()
		hook.Store(nil)
		if fired.Load() && err != nil && !errors.Is(err, fsys.ErrIO) {
			t.Fatalf("call %d: %v", n, err)
		}
		e.restart()
		got := ""
		for _, r := range records(t, e.Partition, ReadUncommitted) {
			if r.key == "a" {
				got = r.value
			}
		}
		if got != want {
			t.Fatalf("call %d: a=%s, want %s", n, got, want)
		}
		e.close()
		if !fired.Load() {
			t.Logf("%d calls", n)
			return
		}
	}
}
