package partition

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// kv is a record as it was appended or found.
type kv struct {
	offset     int64
	key, value string // value "-" is a tombstone
}

// keyed builds a batch of keys and values: "k=v", or "k" for a tombstone.
func keyed(o record.Options, ts int64, pairs ...string) []byte {
	b := record.NewBuilder(o)
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		r := record.Record{Timestamp: ts, Key: []byte(k)}
		if ok {
			r.Value = []byte(v)
		}
		b.Add(r)
	}
	return b.Batch()
}

// records reads everything from the log start on. Committed leaves out what a
// read_committed consumer does, in the way that clients do.
func records(t testing.TB, p *Partition, iso Isolation) (out []kv) {
	t.Helper()
	aborted := map[int64]bool{}
	for next := p.Offsets().LogStart; ; {
		res, err := p.Read(next, 3000, iso, true)
		if err != nil {
			t.Fatalf("read at %d: %v", next, err)
		}
		if len(res.Records) == 0 {
			end := res.HighWatermark
			if iso == ReadCommitted {
				end = res.LastStable
			}
			if next < end {
				t.Fatalf("a reader is stuck at %d below %d", next, end)
			}
			return out
		}
		record.Each(res.Records, func(b []byte) bool {
			var r record.Reader
			if err := r.Reset(b, 0); err != nil {
				t.Fatal(err)
			}
			info := r.Info()
			for _, a := range res.Aborted {
				if a.FirstOffset <= info.LastOffset() && a.FirstOffset >= next {
					aborted[a.ProducerID] = true
				}
			}
			next = info.NextOffset()
			if info.Control() {
				delete(aborted, info.ProducerID)
				return true
			}
			skip := iso == ReadCommitted && info.Transactional() && aborted[info.ProducerID]
			var rec record.Record
			for r.Next(&rec) {
				v := "-"
				if rec.Value != nil {
					v = string(rec.Value)
				}
				if !skip {
					out = append(out, kv{rec.Offset, string(rec.Key), v})
				}
			}
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			return true
		})
	}
}

// compactEnv is a partition of small segments with a clock.
func compactEnv(t testing.TB, edit func(*env)) (*env, *atomic.Int64) {
	now := &atomic.Int64{}
	now.Store(time.Now().UnixMilli())
	return newEnv(t, func(e *env) {
		e.cfg = commitlog.Config{Compact: true, SegmentBytes: 600, DirtyRatio: 0.01, DeleteRetention: time.Hour}
		e.now = func() time.Time { return time.UnixMilli(now.Load()) }
		if edit != nil {
			edit(e)
		}
	}), now
}

// compact begins a new segment, so that all before it can be compacted, and does it.
func (e *env) compact() {
	e.Helper()
	e.durable(keyed(record.Options{}, e.now().UnixMilli(), "filler="+strings.Repeat("x", 700)), Client)
	e.durable(keyed(record.Options{}, e.now().UnixMilli(), "filler=y"), Client)
	e.settleUpkeep()
	if err := e.log.Compact(); err != nil {
		e.Fatal(err)
	}
}

// settleUpkeep waits until checkpoints have passed all full segments.
func (e *env) settleUpkeep() {
	e.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !e.log.Sealed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			e.Fatal("segments are not sealed")
		}
	}
}

func show(kvs []kv) string {
	var s []string
	for _, r := range kvs {
		if r.key != "filler" {
			s = append(s, fmt.Sprintf("%d:%s=%s", r.offset, r.key, r.value))
		}
	}
	return strings.Join(s, " ")
}

func TestCompaction(t *testing.T) {
	for _, codec := range []record.Codec{record.None, record.LZ4, record.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			e, now := compactEnv(t, nil)
			add := func(pairs ...string) { e.durable(keyed(record.Options{Codec: codec}, now.Load(), pairs...), Client) }
			expect := func(want string) {
				t.Helper()
				if got := show(records(t, e.Partition, ReadUncommitted)); got != want {
					t.Fatalf("\n%s, want\n%s", got, want)
				}
			}
			add("a=1", "b=1", "c=1") // 0-2
			add("a=2", "b")          // 3-4
			add("c=2", "c=3", "d=1") // 5-7
			e.compact()
			expect("3:a=2 4:b=- 6:c=3 7:d=1")
			e.restart()
			expect("3:a=2 4:b=- 6:c=3 7:d=1")
			now.Add(30 * time.Minute.Milliseconds())
			add("d=2") // 10
			e.compact()
			expect("3:a=2 4:b=- 6:c=3 10:d=2")
			// The tombstone goes an hour after the first compaction that saw it.
			now.Add(31 * time.Minute.Milliseconds())
			e.compact()
			expect("3:a=2 6:c=3 10:d=2")
			for from := int64(0); from < 10; from++ {
				if res, err := e.Read(from, 100000, ReadUncommitted, true); err != nil || len(res.Records) == 0 {
					t.Fatalf("read at %d: %v", from, err)
				}
			}
			if off, ts, _, err := e.OffsetForTime(now.Load() - time.Minute.Milliseconds()); err != nil || off < 10 || ts != now.Load() {
				t.Fatal(off, ts, err)
			}
		})
	}
}

func TestCompactionOfTransactions(t *testing.T) {
	e, now := compactEnv(t, nil)
	seqs := map[int64]int32{}
	data := func(pid int64, pairs ...string) {
		e.durable(keyed(record.Options{Idempotent: true, Transactional: true, ProducerID: pid, BaseSequence: seqs[pid]}, now.Load(), pairs...), Client)
		seqs[pid] += int32(len(pairs))
	}
	end := func(pid int64, commit bool) {
		e.durable(record.EndTxn(pid, 0, record.Marker{Commit: commit}, now.Load()), Coordinator)
	}
	markers := func() (n int) {
		for _, s := range readAll(t, e.Partition) {
			if s.marker != nil {
				n++
			}
		}
		return n
	}
	data(1, "a=1", "b=1")
	data(2, "a=no", "c=no")
	end(2, false)
	data(1, "a=2")
	end(1, true)
	e.compact()
	want := "1:b=1 5:a=2"
	for _, iso := range []Isolation{ReadUncommitted, ReadCommitted} {
		if got := show(records(t, e.Partition, iso)); got != want {
			t.Fatalf("isolation %d: %s, want %s", iso, got, want)
		}
	}
	if n := markers(); n != 2 {
		t.Fatalf("%d markers", n)
	}
	// Producer 2's only batch carries its sequence, so its marker stays; a new batch
	// takes over, and then both go, the marker an hour later.
	data(2, "d=1")
	end(2, true)
	e.compact()
	e.compact()
	if n := markers(); n != 3 {
		t.Fatalf("%d markers", n)
	}
	now.Add(2 * time.Hour.Milliseconds())
	e.compact()
	if n := markers(); n != 2 {
		t.Fatalf("%d markers", n)
	}
	if got, want := show(records(t, e.Partition, ReadCommitted)), "1:b=1 5:a=2 9:d=1"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	// An open transaction holds compaction back.
	before := e.Size()
	data(3, "a=3")
	data(1, "a=4")
	end(1, true)
	e.compact()
	if got := show(records(t, e.Partition, ReadUncommitted)); !strings.Contains(got, "a=3") || e.Size() < before {
		t.Fatal(got)
	}
}

// TestCompactionKeepsSequences: after everything else is forgotten and built again
// from the batches, producers go on where they were.
func TestCompactionKeepsSequences(t *testing.T) {
	e, now := compactEnv(t, nil)
	for seq := range int32(20) {
		for pid := range int64(3) {
			e.durable(keyed(record.Options{Idempotent: true, ProducerID: pid, ProducerEpoch: 1, BaseSequence: seq}, now.Load(), "same=value"), Client)
		}
	}
	e.compact()
	e.close()
	entries, _ := e.fs.ReadDir("/data/t-0")
	for _, x := range entries {
		if strings.HasSuffix(x.Name, ".producers") || strings.HasSuffix(x.Name, "index") {
			_ = e.fs.Remove("/data/t-0/" + x.Name)
		}
	}
	e.open()
	end := e.Offsets().LogEnd
	for pid := range int64(3) {
		if a := e.durable(keyed(record.Options{Idempotent: true, ProducerID: pid, ProducerEpoch: 1, BaseSequence: 19}, now.Load(), "same=value"), Client); a.BaseOffset() >= end {
			t.Fatalf("producer %d's last batch is not known", pid)
		}
		e.durable(keyed(record.Options{Idempotent: true, ProducerID: pid, ProducerEpoch: 1, BaseSequence: 20}, now.Load(), "same=value"), Client)
	}
}

// TestCompactionLeavesNoTrap: records without keys go from a topic that is compacted
// now; a reader in front of them must still reach the end.
func TestCompactionLeavesNoTrap(t *testing.T) {
	e, now := compactEnv(t, func(e *env) { e.cfg.Compact = false })
	b := record.NewBuilder(record.Options{})
	b.Add(record.Record{Timestamp: now.Load(), Value: []byte("no key")})
	e.durable(b.Batch(), Client)
	e.UpdateConfig(commitlog.Config{Compact: true, CompactionLagMax: time.Hour})
	now.Add(2 * time.Hour.Milliseconds())
	if err := e.log.Clean(); err != nil {
		t.Fatal(err)
	}
	e.settleUpkeep()
	if err := e.log.Clean(); err != nil {
		t.Fatal(err)
	}
	if got := records(t, e.Partition, ReadUncommitted); len(got) != 0 {
		t.Fatal(got)
	}
}

// TestCompactionCrashesAtEveryCall cuts the power at each call that a compaction
// makes, in several ways.
func TestCompactionCrashesAtEveryCall(t *testing.T) {
	mem := fsys.NewMem()
	var mu sync.Mutex // the upkeep of earlier segments may go on beside
	var cuts []*fsys.Mem
	var on atomic.Bool
	e, now := compactEnv(t, func(e *env) {
		e.fs = &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			if on.Load() && c.Mutates() {
				mu.Lock()
				defer mu.Unlock()
				for seed := range uint64(5) {
					cuts = append(cuts, mem.Crash(seed))
				}
			}
			return nil
		}}
	})
	for i := range 60 {
		e.durable(keyed(record.Options{}, now.Load(), fmt.Sprintf("a=%d%s", i, strings.Repeat(".", 100)), "b", fmt.Sprintf("c%d=%d", i%5, i), fmt.Sprintf("unique%d=%d", i, i)), Client)
		if i == 30 {
			e.compact() // what is small now will be merged the next time
		}
	}
	e.settleUpkeep()
	segments := len(must(mem.ReadDir("/data/t-0")))
	fold := func(p *Partition) string {
		latest := map[string]kv{}
		for _, r := range records(t, p, ReadUncommitted) {
			latest[r.key] = r
		}
		return fmt.Sprint(latest)
	}
	want := fold(e.Partition)
	on.Store(true)
	err := e.log.Compact()
	on.Store(false)
	mu.Lock() // no call is being cut at any more
	defer mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if left := len(must(mem.ReadDir("/data/t-0"))); left > segments-6 {
		t.Fatalf("%d files of %d are left: no segments were merged", left, segments)
	}
	for i, cut := range cuts {
		x := compactionWorld(t, cut, e.cfg, 5)
		if got := fold(x.Partition); got != want {
			t.Fatalf("cut %d, seed %d:\n%s, want\n%s", i/5, i%5, got, want)
		}
		x.close()
	}
	t.Logf("%d cuts", len(cuts))
}

func TestCompactionRespectsLags(t *testing.T) {
	e, now := compactEnv(t, func(e *env) { e.cfg.CompactionLagMin = time.Hour })
	e.durable(keyed(record.Options{}, now.Load(), "a=1"), Client)
	e.durable(keyed(record.Options{}, now.Load(), "a=2"), Client)
	e.compact()
	if got := show(records(t, e.Partition, ReadUncommitted)); got != "0:a=1 1:a=2" {
		t.Fatal(got)
	}
	now.Add(2 * time.Hour.Milliseconds())
	e.compact()
	if got := show(records(t, e.Partition, ReadUncommitted)); got != "1:a=2" {
		t.Fatal(got)
	}

	e, now = compactEnv(t, func(e *env) {
		e.cfg.CompactionLagMax = time.Hour
		e.cfg.DirtyRatio = 0.99
		e.cfg.SegmentBytes = 1 << 20
	})
	e.durable(keyed(record.Options{}, now.Load(), "a=1", "a=2"), Client)
	now.Add(2 * time.Hour.Milliseconds())
	if err := e.log.Clean(); err != nil { // ends the active segment
		t.Fatal(err)
	}
	e.settleUpkeep()
	if err := e.log.Clean(); err != nil {
		t.Fatal(err)
	}
	if got := show(records(t, e.Partition, ReadUncommitted)); got != "1:a=2" {
		t.Fatal(got)
	}
}

// TestCompactionSmallMap compacts in several passes when the map cannot hold all keys.
func TestCompactionSmallMap(t *testing.T) {
	e, now := compactEnv(t, func(e *env) { e.cfg.SegmentBytes = 20000; e.compactMemory = 1 })
	for round := range 3 {
		for k := 0; k < 2000; k += 20 {
			var pairs []string
			for i := range 20 {
				pairs = append(pairs, fmt.Sprintf("%d=%d", k+i, round))
			}
			e.durable(keyed(record.Options{}, now.Load(), pairs...), Client)
		}
	}
	for range 20 {
		e.compact()
	}
	got := records(t, e.Partition, ReadUncommitted)
	latest := map[string]string{}
	for _, r := range got {
		latest[r.key] = r.value
	}
	for k := range 2000 {
		if latest[fmt.Sprint(k)] != "2" {
			t.Fatalf("key %d has %q", k, latest[fmt.Sprint(k)])
		}
	}
	if len(got) > 4000 {
		t.Fatalf("%d records are left", len(got))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
