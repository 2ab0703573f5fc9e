package consume

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func testLimits() Limits { return Limits{Records: 100, Bytes: 1 << 20, Window: 1000} }

// records makes records with the given keys, offsets from first; "-" is no key.
func records(first int64, keys ...string) []*kgo.Record {
	out := make([]*kgo.Record, len(keys))
	for i, k := range keys {
		out[i] = &kgo.Record{Topic: "t", Offset: first + int64(i), Key: []byte(k)}
		if k == "-" {
			out[i].Key = nil
		}
	}
	return out
}

// startAll starts everything that may run now.
func startAll(s *scheduler, now time.Time) (tasks []*task) {
	for {
		t := s.next(now)
		if t == nil {
			return tasks
		}
		tasks = append(tasks, t)
	}
}

func offsetsOf(tasks []*task) string {
	var out []string
	for _, t := range tasks {
		var one []string
		for _, it := range t.items {
			one = append(one, fmt.Sprint(it.record.Offset))
		}
		out = append(out, strings.Join(one, "+"))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func verdicts(t *task, v verdict, after time.Duration) []result {
	out := make([]result, len(t.items))
	for i := range out {
		out[i] = result{verdict: v, after: after}
	}
	return out
}

func TestOneOfEachKeyAtATime(t *testing.T) {
	s := newScheduler(testLimits())
	a := s.assign("t", 0, &route{})
	s.add(epoch, a, records(0, "a", "b", "a", "-", "-", "b", "a"))
	first := startAll(s, epoch)
	if got := offsetsOf(first); got != "0 1 3 4" {
		t.Fatalf("started %s, want the first a and b, and both without key: 0 1 3 4", got)
	}
	for _, tk := range first {
		s.finish(epoch, tk, verdicts(tk, acknowledge, 0))
	}
	second := startAll(s, epoch)
	if got := offsetsOf(second); got != "2 5" {
		t.Fatalf("started %s, want 2 5", got)
	}
	if next, _, _ := a.tracker.watermark(); next != 2 {
		t.Errorf("watermark %d, want 2: offset 2 is running", next)
	}
}

func TestFailingKeyParksOnlyItself(t *testing.T) {
	s := newScheduler(testLimits())
	a := s.assign("t", 0, &route{})
	s.add(epoch, a, records(0, "bad", "good", "bad", "good"))
	now := epoch
	tasks := startAll(s, now)
	for _, tk := range tasks {
		if string(tk.items[0].record.Key) == "bad" {
			s.finish(now, tk, verdicts(tk, retry, time.Second))
		} else {
			s.finish(now, tk, verdicts(tk, acknowledge, 0))
		}
	}
	tasks = startAll(s, now)
	if got := offsetsOf(tasks); got != "3" {
		t.Fatalf("started %s while bad is parked, want 3", got)
	}
	s.finish(now, tasks[0], verdicts(tasks[0], acknowledge, 0))
	if due, ok := s.due(); !ok || !due.Equal(now.Add(time.Second)) {
		t.Errorf("due %v %v, want in a second", due, ok)
	}
	s.wake(now.Add(time.Second - 1))
	if tasks = startAll(s, now); len(tasks) != 0 {
		t.Fatalf("started %s before it was due", offsetsOf(tasks))
	}
	now = now.Add(time.Second)
	s.wake(now)
	tasks = startAll(s, now)
	if got := offsetsOf(tasks); got != "0" {
		t.Fatalf("started %s, want 0 again, before 2", got)
	}
	if tasks[0].failing != time.Second {
		t.Errorf("the key has been failing for %v, want 1s", tasks[0].failing)
	}
	s.finish(now, tasks[0], verdicts(tasks[0], deadLetter, 0))
	tasks = startAll(s, now)
	if got := offsetsOf(tasks); got != "2" || tasks[0].failing == 0 {
		t.Fatalf("started %s, failing for %v; want 2, still failing", got, tasks[0].failing)
	}
	s.finish(now, tasks[0], verdicts(tasks[0], acknowledge, 0))
	if next, _, _ := a.tracker.watermark(); next != 4 || s.held != 0 || s.bytes != 0 || len(a.lanes) != 0 {
		t.Errorf("watermark %d, held %d (%d bytes), %d lanes; want 4 and nothing", next, s.held, s.bytes, len(a.lanes))
	}
}

func TestPartitionsTakeTurns(t *testing.T) {
	s := newScheduler(testLimits())
	full, small := s.assign("t", 0, &route{}), s.assign("t", 1, &route{})
	s.add(epoch, full, records(0, "a", "b", "c", "d", "e", "f"))
	s.add(epoch, small, records(100, "x", "y"))
	var got []string
	for range 4 {
		got = append(got, fmt.Sprint(s.next(epoch).lane.of.partition))
	}
	if strings.Join(got, " ") != "0 1 0 1" {
		t.Errorf("partitions in turn: %v, want 0 1 0 1", got)
	}
}

func TestBatches(t *testing.T) {
	s := newScheduler(testLimits())
	a := s.assign("t", 0, &route{batch: 3})
	s.add(epoch, a, records(0, "a", "b", "-", "c", "d"))
	tasks := startAll(s, epoch)
	if got := offsetsOf(tasks); got != "0+1+2" {
		t.Fatalf("started %s, want one batch of 3", got)
	}
	// One of them is to be found out: they come one by one, in order, before others.
	for _, it := range tasks[0].items {
		it.solo = true
	}
	s.finish(epoch, tasks[0], verdicts(tasks[0], retry, 0))
	for _, want := range []string{"0", "1", "2", "3+4"} {
		tasks = startAll(s, epoch)
		if got := offsetsOf(tasks); got != want {
			t.Fatalf("started %s, want %s", got, want)
		}
		s.finish(epoch, tasks[0], verdicts(tasks[0], acknowledge, 0))
	}
}

// What is left over from an assignment that was taken away changes nothing, also
// when the partition has come back.
func TestLateResultsAreDropped(t *testing.T) {
	s := newScheduler(testLimits())
	old := s.assign("t", 0, &route{})
	s.add(epoch, old, records(0, "a", "a", "b", "c"))
	tasks := startAll(s, epoch)
	s.finish(epoch, tasks[1], verdicts(tasks[1], retry, time.Minute)) // b is parked
	s.drop(old)
	if s.held != 0 || s.bytes != 0 || s.running != 0 || len(s.parked) != 0 || s.assigned != 0 {
		t.Errorf("after the drop: held %d, bytes %d, running %d, parked %d, assigned %d", s.held, s.bytes, s.running, len(s.parked), s.assigned)
	}
	again := s.assign("t", 0, &route{})
	s.add(epoch, again, records(0, "a"))
	if s.finish(epoch, tasks[0], verdicts(tasks[0], acknowledge, 0)) {
		t.Error("a late result counted")
	}
	if _, _, ok := again.tracker.watermark(); ok {
		t.Error("a late result moved the new assignment's watermark")
	}
	if got := offsetsOf(startAll(s, epoch)); got != "0" {
		t.Errorf("started %s, want 0 of the new assignment", got)
	}
}

func TestRoom(t *testing.T) {
	s := newScheduler(Limits{Records: 8, Bytes: 1 << 20, Window: 100})
	a, b := s.assign("t", 0, &route{}), s.assign("t", 1, &route{})
	s.add(epoch, a, records(0, "a", "a", "a", "a", "a"))
	s.add(epoch, b, records(0, "a", "a"))
	if !s.room() || s.full(a) || s.full(b) {
		t.Errorf("room %v, full %v %v; want room, and none paused for being busy", s.room(), s.full(a), s.full(b))
	}
	s.add(epoch, b, records(2, "a"))
	if s.room() {
		t.Error("room at the limit")
	}
	heavy := newScheduler(Limits{Records: 1000, Bytes: 1000, Window: 100})
	heavy.add(epoch, heavy.assign("t", 0, &route{}), []*kgo.Record{{Key: []byte("k"), Value: make([]byte, 2000)}})
	if heavy.room() {
		t.Error("bytes do not limit")
	}
}

// A partition with its share pauses if its records wait for long, until half of
// the share is left. The only partition does not, for nobody else needs the room.
func TestSlowPartitionPauses(t *testing.T) {
	s := newScheduler(Limits{Records: 8, Bytes: 1 << 20, Window: 100})
	a := s.assign("t", 0, &route{})
	s.add(epoch, a, records(0, "a", "a", "a", "a", "a"))
	now := epoch.Add(slow)
	done := func() {
		tk := s.next(now)
		s.finish(now, tk, verdicts(tk, acknowledge, 0))
	}
	done()
	if s.full(a) {
		t.Error("the only partition is to be paused")
	}
	s.assign("t", 1, &route{})
	if !s.full(a) || a.held != 4 {
		t.Errorf("full: %v with %d held of 8 for a second, want full at 4", s.full(a), a.held)
	}
	done()
	if s.full(a) || s.slack(a) {
		t.Error("with 3 held it should stay as it is")
	}
	done()
	if !s.slack(a) {
		t.Errorf("no slack with %d held", a.held)
	}
}

// So does one whose keys are parked.
func TestParkedPartitionPauses(t *testing.T) {
	s := newScheduler(Limits{Records: 8, Bytes: 1 << 20, Window: 100})
	a := s.assign("t", 0, &route{})
	s.assign("t", 1, &route{})
	s.add(epoch, a, records(0, "bad", "bad", "good"))
	tasks := startAll(s, epoch)
	s.finish(epoch, tasks[0], verdicts(tasks[0], retry, time.Second))
	if s.full(a) {
		t.Error("full below its share")
	}
	s.add(epoch, a, records(4, "bad"))
	if !s.full(a) || a.parked != 3 {
		t.Errorf("full: %v with %d parked, %d held of 8; want full", s.full(a), a.parked, a.held)
	}
	s.wake(epoch.Add(time.Second))
	if a.parked != 0 || a.parkedBytes != 0 {
		t.Errorf("%d parked (%d bytes) after it woke", a.parked, a.parkedBytes)
	}
}

// And one that runs too far ahead of its watermark.
func TestWindow(t *testing.T) {
	s := newScheduler(Limits{Records: 100, Bytes: 1 << 20, Window: 4})
	a := s.assign("t", 0, &route{})
	s.add(epoch, a, records(0, "bad", "good", "good", "good"))
	if !s.full(a) {
		t.Error("not full with a window of 4")
	}
	bad := startAll(s, epoch)[0]
	for range 3 {
		for _, tk := range startAll(s, epoch) {
			s.finish(epoch, tk, verdicts(tk, acknowledge, 0))
		}
	}
	if s.slack(a) {
		t.Error("slack although the watermark has not moved")
	}
	s.finish(epoch, bad, verdicts(bad, acknowledge, 0))
	if !s.slack(a) && a.tracker.window() == 0 {
		t.Error("no slack although all is done")
	}
}

// Against a model: whatever finishes in whatever order with whatever verdict, keys
// keep their order, nothing is lost or done twice, and the counts agree.
func TestSchedulerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScheduler(Limits{Records: 1 << 20, Bytes: 1 << 40, Window: 1 << 20})
		a := s.assign("t", 0, &route{})
		var offset int64
		lastOf := map[string]int64{} // last offset done per key
		done := map[int64]bool{}
		running := map[string]bool{}
		var tasks []*task
		now := epoch
		step := func(what string) {
			switch what {
			case "add":
				keys := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 5).Draw(t, "keys")
				s.add(epoch, a, records(offset, keys...))
				offset += int64(len(keys))
			case "start":
				if tk := s.next(now); tk != nil {
					k := tk.lane.key
					if running[k] {
						t.Fatalf("key %s runs twice", k)
					}
					if o := tk.items[0].record.Offset; done[o] || lastOf[k] > o {
						t.Fatalf("offset %d of key %s after %d", o, k, lastOf[k])
					}
					running[k] = true
					tasks = append(tasks, tk)
				}
			case "finish":
				if len(tasks) == 0 {
					return
				}
				i := rapid.IntRange(0, len(tasks)-1).Draw(t, "which")
				tk := tasks[i]
				tasks = slices.Delete(tasks, i, i+1)
				running[tk.lane.key] = false
				v := rapid.SampledFrom([]verdict{acknowledge, deadLetter, retry}).Draw(t, "verdict")
				s.finish(now, tk, verdicts(tk, v, time.Duration(rapid.IntRange(0, 3).Draw(t, "after"))))
				if v != retry {
					o := tk.items[0].record.Offset
					done[o], lastOf[tk.lane.key] = true, o
				}
			case "wait":
				now = now.Add(1)
				s.wake(now)
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			step(rapid.SampledFrom([]string{"add", "start", "start", "finish", "finish", "wait"}).Draw(t, "step"))
			if s.held != int(offset)-len(done) || s.held != a.held || s.running != len(tasks) || a.running != len(tasks) {
				t.Fatalf("held %d/%d of %d with %d done, running %d/%d of %d", s.held, a.held, offset, len(done), s.running, a.running, len(tasks))
			}
		}
		for len(done) < int(offset) { // everything that is left succeeds
			for _, tk := range tasks {
				running[tk.lane.key] = false
				s.finish(now, tk, verdicts(tk, acknowledge, 0))
				o := tk.items[0].record.Offset
				done[o], lastOf[tk.lane.key] = true, o
			}
			tasks = nil
			now = now.Add(time.Hour)
			s.wake(now)
			before := len(done)
			for n := len(tasks) - 1; n != len(tasks); {
				n = len(tasks)
				step("start")
			}
			if len(tasks) == 0 && before == len(done) && before < int(offset) {
				t.Fatalf("stuck with %d of %d done", before, offset)
			}
		}
		if next, _, ok := a.tracker.watermark(); offset > 0 && (!ok || next != offset) || s.bytes != 0 || len(a.lanes) != 0 {
			t.Fatalf("watermark %d of %d, %d bytes, %d lanes", next, offset, s.bytes, len(a.lanes))
		}
	})
}
