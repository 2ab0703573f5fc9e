package consume

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rig is an engine whose workers do what the test says, in virtual time.
type rig struct {
	t       *testing.T
	e       *engine
	mu      sync.Mutex
	handled []int64
	running int
	most    int
	paused  map[int32]bool
}

// newRig runs an engine until the end of the test. work is a worker's work; nil
// acknowledges at once.
func newRig(t *testing.T, limits Limits, workers int, work func(ctx context.Context, offset int64) result) *rig {
	r := &rig{t: t, e: newEngine(limits, workers, time.Now), paused: map[int32]bool{}}
	r.e.process = func(ctx context.Context, tk *task) []result {
		r.mu.Lock()
		r.running++
		r.most = max(r.most, r.running)
		r.mu.Unlock()
		results := make([]result, len(tk.items))
		for i, it := range tk.items {
			if work != nil {
				results[i] = work(ctx, it.record.Offset)
			}
			r.mu.Lock()
			r.handled = append(r.handled, it.record.Offset)
			r.mu.Unlock()
		}
		r.mu.Lock()
		r.running--
		r.mu.Unlock()
		return results
	}
	r.e.pause = func(_ string, p int32, paused bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.paused[p] = paused
	}
	done := make(chan struct{})
	go func() { r.e.run(); close(done) }()
	t.Cleanup(func() {
		close(r.e.quit)
		<-done
	})
	return r
}

// seen returns the offsets handled so far, and how many were handled at once.
func (r *rig) seen() (offsets []int64, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.handled), r.most
}

func (r *rig) isPaused(partition int32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paused[partition]
}

func (r *rig) assign(partitions ...int32) {
	r.e.assign(map[string][]int32{"t": partitions}, map[string]*route{"t": {topic: "t"}})
}

// fetch hands records over as a poll does, once the engine has room.
func (r *rig) fetch(partition int32, rs ...*kgo.Record) {
	<-r.e.room
	r.e.fetched <- []batch{{topic: "t", partition: partition, records: rs, highWater: rs[len(rs)-1].Offset + 1}}
}

func offsetOf(set map[string]map[int32]kgo.EpochOffset, partition int32) int64 {
	if o, ok := set["t"][partition]; ok {
		return o.Offset
	}
	return -1
}

func TestEngineRunsManyKeysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testLimits(), 4, func(context.Context, int64) result {
			time.Sleep(10 * time.Millisecond)
			return result{}
		})
		r.assign(0)
		began := time.Now()
		r.fetch(0, records(0, "a", "b", "c", "d", "a", "b", "c", "d")...)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if handled, most := r.seen(); most != 4 || len(handled) != 8 {
			t.Errorf("%d at once, %d handled after %v; want 4 at once, all 8 in 20ms", most, len(handled), time.Since(began))
		}
		if got := offsetOf(r.e.progress(), 0); got != 8 {
			t.Errorf("watermark %d, want 8", got)
		}
	})
}

func TestEngineRetriesWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int32
		r := newRig(t, testLimits(), 2, func(_ context.Context, offset int64) result {
			if offset == 0 {
				if attempts.Add(1) < 3 {
					return result{verdict: retry, after: time.Minute}
				}
			}
			return result{}
		})
		r.assign(0)
		r.fetch(0, records(0, "a", "b", "a")...)
		synctest.Wait()
		handled, _ := r.seen()
		slices.Sort(handled)
		if got := offsetOf(r.e.progress(), 0); got != -1 || !slices.Equal(handled, []int64{0, 1}) {
			t.Errorf("handled %v, watermark %d; want 0 and 1, and no watermark", handled, got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		handled, _ = r.seen()
		if got := offsetOf(r.e.progress(), 0); got != 3 || attempts.Load() != 3 || handled[len(handled)-1] != 2 {
			t.Errorf("after two minutes: %d attempts, handled %v, watermark %d", attempts.Load(), handled, got)
		}
	})
}

// On revocation running work finishes, nothing new starts, and the watermark of
// the moment is what is committed.
func TestEngineDrainsOnRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testLimits(), 1, func(context.Context, int64) result {
			time.Sleep(3 * time.Second)
			return result{}
		})
		r.assign(0, 1)
		r.fetch(0, records(0, "a", "b", "c")...)
		synctest.Wait()
		began := time.Now()
		set := r.e.revoke(map[string][]int32{"t": {0}}, 8*time.Second)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the revocation took %v, want the 3s that the record takes", took)
		}
		if got := offsetOf(set, 0); got != 1 {
			t.Errorf("offset to commit %d, want 1", got)
		}
		r.fetch(0, records(3, "d")...) // of a partition that is gone
		r.fetch(1, records(0, "x")...)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if handled, _ := r.seen(); !slices.Equal(handled, []int64{0, 0}) {
			t.Errorf("handled %v, want offset 0 of each partition only", handled)
		}
	})
}

// A handler that does not end in time loses its context; its record is not
// committed, and its late success is not counted, not even if the partition is
// back.
func TestEngineFencesLateWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cancelled atomic.Bool
		r := newRig(t, testLimits(), 2, func(ctx context.Context, offset int64) result {
			if offset == 1 {
				<-ctx.Done()
				cancelled.Store(true)
				time.Sleep(time.Minute) // stubborn
			}
			return result{}
		})
		r.assign(0)
		r.fetch(0, records(0, "a", "b", "c")...)
		synctest.Wait()
		began := time.Now()
		set := r.e.revoke(map[string][]int32{"t": {0}}, 8*time.Second)
		if took := time.Since(began); took != 9*time.Second || !cancelled.Load() {
			t.Errorf("the revocation took %v, want 8s and one to obey; cancelled: %v", took, cancelled.Load())
		}
		if got := offsetOf(set, 0); got != 1 {
			t.Errorf("offset to commit %d, want 1: the record at 1 did not end", got)
		}
		r.assign(0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := r.e.progress(); len(got) != 0 {
			t.Errorf("the old assignment's work moved the new one's watermark: %v", got)
		}
	})
}

func TestEngineCommitsNothingOfLostPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testLimits(), 2, nil)
		r.assign(0)
		r.fetch(0, records(0, "a")...)
		synctest.Wait()
		r.e.lose(map[string][]int32{"t": {0}})
		if got := r.e.progress(); len(got) != 0 {
			t.Errorf("to commit: %v, want nothing", got)
		}
	})
}

// While handlers hang, the engine takes what its limits allow and still answers
// the group.
func TestEngineIsBoundedAndNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, Limits{Records: 8, Bytes: 1 << 20, Window: 100}, 2, func(context.Context, int64) result {
			<-release
			return result{}
		})
		r.assign(0, 1)
		r.fetch(0, records(0, "a", "b", "c", "d")...)
		r.fetch(1, records(0, "a", "b", "c", "d")...)
		synctest.Wait()
		select {
		case <-r.e.room:
			t.Error("room while full")
		default:
		}
		r.e.lose(map[string][]int32{"t": {1}}) // answered although all workers hang
		close(release)
		synctest.Wait()
		<-r.e.room // there is again
		r.e.fetched <- nil
	})
}

// A partition that has its share, all of it parked, is paused until it is done.
func TestEnginePausesAndResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		r := newRig(t, Limits{Records: 8, Bytes: 1 << 20, Window: 100}, 2, func(context.Context, int64) result {
			if healed.Load() {
				return result{}
			}
			return result{verdict: retry, after: time.Second}
		})
		r.assign(0, 1)
		r.fetch(0, records(0, "a", "a", "a", "a")...)
		synctest.Wait()
		if !r.isPaused(0) || r.isPaused(1) {
			t.Error("want partition 0 paused, and only it")
		}
		healed.Store(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if r.isPaused(0) {
			t.Error("still paused with nothing parked")
		}
	})
}

func TestEngineStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testLimits(), 1, func(_ context.Context, offset int64) result {
			if offset == 1 {
				return result{verdict: stop, err: context.Canceled}
			}
			return result{}
		})
		r.assign(0)
		r.fetch(0, records(0, "a", "b", "c")...)
		<-r.e.stopping
		synctest.Wait()
		set := r.e.revoke(map[string][]int32{"t": {0}}, time.Second)
		if handled, _ := r.seen(); offsetOf(set, 0) != 1 || !slices.Equal(handled, []int64{0, 1}) {
			t.Errorf("handled %v, offset to commit %d; want 0 and 1, and 1", handled, offsetOf(set, 0))
		}
	})
}
