package partition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/powercut"
)

var chains = powercut.ChainFlags(220)

// TestPowerCuts runs random work under each flush policy, cuts the power or kills the
// process at a call to the file system, recovers what that left and goes on from
// there, several times in a chain. After each: what was acknowledged is there,
// what is there was appended there, producers and transactions go on where they
// were; and what recovery showed survives a power cut at once.
func TestPowerCuts(t *testing.T) {
	first, n, alone := chains.Chosen()
	var tally powercut.Tally
	if !alone {
		t.Cleanup(func() {
			tally.Report(t, min(2000, int(n)*crashesPerChain), powercut.Append, powercut.Roll, powercut.Retention, powercut.Checkpoint,
				powercut.Journal, powercut.JournalWrap, powercut.Recovery, powercut.OpenTxn)
		})
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			crashes(t, seed, &tally)
		})
	}
}

const crashesPerChain = 6

func crashes(t *testing.T, seed uint64, tally *powercut.Tally) {
	rng := rand.New(rand.NewPCG(seed, 1))
	mem := fsys.NewMem()
	w := &world{t: t, rng: rng, model: newModel(3), flush: commitlog.FlushGroup}
	w.journal = []int64{-1, 20 << 10, 64 << 10}[rng.IntN(3)]
	w.large = []int64{0, 1, 300}[rng.IntN(3)]
	switch seed % 8 {
	case 0, 4:
		w.flush = commitlog.FlushOS
	case 2:
		w.flush = commitlog.FlushInterval
	}
	w.cfg = commitlog.Config{SegmentBytes: int64(1500 + rng.IntN(4000)), IndexInterval: 300, RetentionTime: -1}
	if rng.IntN(3) == 0 {
		w.cfg.RetentionBytes = int64(5000 + rng.IntN(10000))
	}
	for range crashesPerChain {
		// At one call: the file system as it could be found, and the model.
		var left *fsys.Mem
		var then *model
		power, crashSeed := rng.IntN(3) > 0, rng.Uint64()
		crash := func(phase powercut.Phase) {
			then = w.model.clone()
			phases := []powercut.Phase{phase}
			if then.openTxns() {
				phases = append(phases, powercut.OpenTxn)
			}
			tally.Count(power, phases...)
			if !power {
				left = mem.Kill()
				return
			}
			left = mem.Crash(crashSeed)
			if w.flush != commitlog.FlushGroup {
				then.forgetAcks() // nothing was promised
			}
		}
		trigger := powercut.Pick(rng, 150, powercut.Roll, powercut.Retention, powercut.Checkpoint, powercut.Journal, powercut.JournalWrap, powercut.Recovery)
		var watch powercut.Watch
		w.fs = &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			if c.Mutates() {
				if phase := watch.Phase(c); trigger.Hit(phase) {
					w.model.mu.Lock() // the model and the disk at one moment
					defer w.model.mu.Unlock()
					crash(phase)
				}
			}
			return nil
		}}
		watch.Recovering(true)
		if err := w.open(); err != nil {
			t.Fatalf("open: %v", err)
		}
		watch.Recovering(false)
		if w.epoch > 1 {
			for i := range w.parts {
				w.check(i, false)
			}
		}
		for range 100 {
			w.step()
		}
		for i := range w.parts {
			w.settle(w.model.parts[i], 0)
		}
		w.close()
		if left == nil { // the work was too short
			crash(powercut.Idle)
		}
		mem, w.model = left, then

		w.fs = mem
		if err := w.open(); err != nil {
			t.Fatalf("recovery: %v", err)
		}
		for i := range w.parts {
			w.check(i, false)
		}
		again := mem.Crash(rng.Uint64())
		tally.Count(true, powercut.Recovery)
		w.close()
		mem = again
	}
}

// faults are the ways in which a call fails, and the calls that fail so.
var faults = []struct {
	err error
	ops string // empty = every call that changes something
}{
	{fsys.ErrIO, ""},
	{fsys.ErrNoSpace, "write create mkdir rename truncate preallocate"},
	{fsys.ErrShort, "write"},
}

// TestEveryCallFails fails each call to the file system once, in turn, in each way.
// The process lives on or stops the partition; what was acknowledged stays.
func TestEveryCallFails(t *testing.T) {
	for _, f := range faults {
		t.Run(f.err.Error(), func(t *testing.T) {
			t.Parallel()
			ops := map[string]int{}
			for n := int64(0); ; n++ {
				op := failNth(t, n, f.err, f.ops)
				if op == "" {
					break
				}
				ops[op]++
			}
			t.Logf("calls failed once: %v", ops)
			want := f.ops
			if want == "" {
				want = "write sync rename truncate create syncdir remove"
			}
			for _, op := range strings.Fields(want) {
				if ops[op] == 0 && op != "mkdir" && op != "preallocate" {
					t.Errorf("no %s was made to fail", op)
				}
			}
		})
	}
}

// failNth runs the same work with the n-th of the calls named by ops failing, and
// returns which one that was; none when there were fewer.
func failNth(t *testing.T, n int64, fault error, ops string) string {
	var failed atomic.Pointer[string]
	mem := fsys.NewMem()
	hook := fsys.Nth(n, fault)
	w := &world{t: t, rng: rand.New(rand.NewPCG(7, 7)), model: newModel(2), flush: commitlog.FlushGroup, journal: 30 << 10}
	w.cfg = commitlog.Config{SegmentBytes: 2000, IndexInterval: 300, RetentionTime: -1, RetentionBytes: 5000}
	w.fs = &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
		if ops != "" && !slices.Contains(strings.Fields(ops), c.Op) {
			return nil
		}
		err := hook(c)
		if err != nil {
			failed.Store(&c.Op)
		}
		return err
	}}
	if err := w.open(); err != nil {
		if !strings.Contains(err.Error(), "injected") {
			t.Fatalf("call %d: open: %v", n, err)
		}
	} else {
		for after := 0; after < 80; after++ {
			w.step()
			if w.rng.IntN(3) == 0 {
				for i := range w.parts {
					w.settle(w.model.parts[i], 0)
				}
			}
		}
		for i, p := range w.parts {
			w.settle(w.model.parts[i], 0)
			if p.Err() != nil {
				continue
			}
			live := *w
			live.model = w.model.clone()
			live.check(i, true)
		}
		w.close()
	}
	for _, fs := range []*fsys.Mem{mem, mem.Crash(uint64(n))} {
		after := &world{t: t, rng: w.rng, model: w.model.clone(), fs: fs, cfg: w.cfg, epoch: w.epoch, journal: w.journal}
		if err := after.open(); err != nil {
			t.Fatalf("call %d: open afterwards: %v", n, err)
		}
		for i := range after.parts {
			after.check(i, true)
		}
		after.close()
	}
	if op := failed.Load(); op != nil {
		return *op
	}
	return ""
}

// TestDiskFullHeals: writes fail while the disk is full and work again after.
func TestDiskFullHeals(t *testing.T) {
	mem := fsys.NewMem()
	e := newEnv(t, func(e *env) { e.fs = mem })
	free, _ := mem.Free("/")
	_ = free
	e.durable(batch(1, 100), Client)
	used := e.Size() + 1000
	mem.SetCapacity(used)
	failed := 0
	for range 20 {
		a := e.append(batch(1, 200), Client)
		wait(t, a.Durable())
		if err := a.Err(); err != nil {
			failed++
			if kafkaCode(err) != 56 {
				t.Fatal(err)
			}
		}
	}
	if failed == 0 {
		t.Fatal("nothing failed")
	}
	end := e.Offsets().LogEnd
	mem.SetCapacity(0)
	if a := e.durable(batch(1, 200), Client); a.BaseOffset() != end {
		t.Fatal(a.BaseOffset(), end)
	}
	e.restart()
	if o := e.Offsets(); o.LogEnd != end+1 {
		t.Fatalf("%+v", o)
	}
}

// TestFailedSyncStops: a sync that failed is not asked again, and nothing is
// acknowledged after it.
func TestFailedSyncStops(t *testing.T) {
	var fail atomic.Bool
	var syncs atomic.Int64
	mem := fsys.NewMem()
	e := newEnv(t, func(e *env) {
		e.fs = &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			if c.Op == "sync" && strings.HasSuffix(c.Name, ".log") && fail.Load() {
				syncs.Add(1)
				return fsys.ErrIO
			}
			return nil
		}}
	})
	e.durable(batch(1, 10), Client)
	fail.Store(true)
	a := e.append(batch(1, 10), Client)
	wait(t, a.Durable())
	if kafkaCode(a.Err()) != 56 {
		t.Fatal(a.Err())
	}
	fail.Store(false)
	if _, err := e.Partition.Append(batch(1, 10), Client); kafkaCode(err) != 56 {
		t.Fatal(err)
	}
	if _, err := e.Read(0, 10, ReadUncommitted, true); kafkaCode(err) != 56 {
		t.Fatal(err)
	}
	if err := e.Partition.Close(); err == nil {
		t.Fatal("a stopped partition closed as if all were well")
	}
	if syncs.Load() != 1 {
		t.Fatal("synced again")
	}
	e.restart()
	if o := e.Offsets(); o.LogEnd < 1 {
		t.Fatalf("%+v", o)
	}
}

// TestDamageIsRefused: bytes that had been synced below a checkpoint and are gone
// are not taken for a torn tail.
func TestDamageIsRefused(t *testing.T) {
	mem := fsys.NewMem()
	e := newEnv(t, func(e *env) { e.fs = mem })
	for range 10 {
		e.durable(batch(1, 100), Client)
	}
	e.close()
	name := "/data/t-0/00000000000000000000.log"
	f, err := mem.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	if err := f.Truncate(size - 1); err != nil {
		t.Fatal(err)
	}
	c, _ := commitlog.NewCommitter(commitlog.CommitterConfig{FS: mem, Dir: "/data", Logger: quiet})
	defer c.Close()
	_, err = Open(Config{FS: mem, Dir: "/data/t-0", TopicID: [16]byte{1}, LeaderEpoch: 5, Committer: c, Logger: quiet})
	var damage *commitlog.DamageError
	if !errors.As(err, &damage) || damage.File != name {
		t.Fatal(err)
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt(make([]byte, 1), 0)
	e.Partition, e.c = nil, c
}
