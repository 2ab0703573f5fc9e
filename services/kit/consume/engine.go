package consume

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// engine owns the scheduler. One goroutine, run, takes what was fetched, hands
// out tasks, collects results and answers the group's callbacks; it never waits
// for I/O. Workers process tasks beside it.
type engine struct {
	sched    *scheduler
	workers  int
	now      func() time.Time
	process  func(ctx context.Context, t *task) []result
	pause    func(topic string, partition int32, paused bool)
	gauges   func(*scheduler, map[string]map[int32]*live)
	stopping chan struct{} // closed by the first Stop outcome, after stopErr is set
	stopErr  error

	fetched chan []batch
	room    chan struct{}
	calls   chan func()
	results chan finished
	tasks   chan started
	quit    chan struct{}

	// What follows belongs to run.
	parts   map[string]map[int32]*live
	polling bool
	drains  []*drain
}

// live is an assignment with what the engine keeps about it.
type live struct {
	*assignment
	ctx       context.Context
	cancel    context.CancelFunc
	highWater int64
	committed int64
}

func newLive(a *assignment) *live {
	ctx, cancel := context.WithCancel(context.Background())
	return &live{assignment: a, ctx: ctx, cancel: cancel, committed: -1}
}

// batch is what one poll returned of a partition.
type batch struct {
	topic     string
	partition int32
	highWater int64
	records   []*kgo.Record
}

type started struct {
	task *task
	ctx  context.Context
}

type finished struct {
	task    *task
	results []result
}

// drain is a wait for the running work of revoked partitions.
type drain struct {
	of   []*live
	done chan struct{}
}

func newEngine(limits Limits, workers int, now func() time.Time) *engine {
	return &engine{
		sched:    newScheduler(limits),
		workers:  workers,
		now:      now,
		pause:    func(string, int32, bool) {},
		gauges:   func(*scheduler, map[string]map[int32]*live) {},
		stopping: make(chan struct{}),
		fetched:  make(chan []batch),
		room:     make(chan struct{}),
		calls:    make(chan func()),
		results:  make(chan finished, workers),
		tasks:    make(chan started, workers),
		quit:     make(chan struct{}),
		parts:    map[string]map[int32]*live{},
	}
}

// run is the loop; it returns after close, when the workers have ended.
func (e *engine) run() {
	var workers sync.WaitGroup
	for range e.workers {
		workers.Go(func() {
			for s := range e.tasks {
				e.results <- finished{task: s.task, results: e.process(s.ctx, s.task)}
			}
		})
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := e.now()
		e.sched.wake(now)
		e.dispatch(now)

		wait := time.Hour
		if due, ok := e.sched.due(); ok {
			wait = max(0, due.Sub(now))
		}
		timer.Reset(wait)

		var room chan struct{}
		if !e.polling && e.sched.room() {
			room = e.room
		}
		select {
		case room <- struct{}{}:
			e.polling = true
		case batches := <-e.fetched:
			e.polling = false
			e.take(batches)
		case f := <-e.results:
			e.settle(f)
		case call := <-e.calls:
			call()
		case <-timer.C:
		case <-e.quit:
			e.shut(&workers)
			return
		}
	}
}

// shut ends the workers. Their contexts have ended, so they finish soon; results
// are read until then, so that none of them waits to deliver one.
func (e *engine) shut(workers *sync.WaitGroup) {
	for _, parts := range e.parts {
		for _, l := range parts {
			l.cancel()
		}
	}
	close(e.tasks)
	ended := make(chan struct{})
	go func() {
		workers.Wait()
		close(ended)
	}()
	for {
		select {
		case <-e.results:
		case <-ended:
			return
		}
	}
}

// dispatch starts work while workers are free. tasks has room for all workers, so
// the send never blocks.
func (e *engine) dispatch(now time.Time) {
	for e.stopErr == nil && e.sched.running < e.workers && len(e.tasks) < cap(e.tasks) {
		t := e.sched.next(now)
		if t == nil {
			return
		}
		e.tasks <- started{task: t, ctx: e.live(t.lane.of).ctx}
	}
}

func (e *engine) live(a *assignment) *live { return e.parts[a.topic][a.partition] }

// take queues what a poll returned. The poll and this hand-over happen between
// rebalances, so a partition that is not known here was revoked before the poll.
func (e *engine) take(batches []batch) {
	for _, b := range batches {
		l := e.parts[b.topic][b.partition]
		if l == nil || l.closing {
			continue
		}
		l.highWater = max(l.highWater, b.highWater)
		e.sched.add(e.now(), l.assignment, b.records)
		e.adjust(l.assignment)
	}
}

// adjust pauses an assignment that is full and resumes one that has slack again.
func (e *engine) adjust(a *assignment) {
	switch {
	case !a.paused && e.sched.full(a):
		a.paused = true
	case a.paused && e.sched.slack(a):
		a.paused = false
	default:
		return
	}
	e.pause(a.topic, a.partition, a.paused)
}

// settle takes a worker's results.
func (e *engine) settle(f finished) {
	for _, r := range f.results {
		if r.verdict == stop && e.stopErr == nil {
			e.stopErr = r.err
			close(e.stopping)
		}
	}
	a := f.task.lane.of
	if !e.sched.finish(e.now(), f.task, f.results) {
		return
	}
	e.adjust(a)
	if a.closing {
		e.endDrains()
	}
}

// do runs f in the loop and waits for it; false if the engine has ended.
func (e *engine) do(f func()) bool {
	done := make(chan struct{})
	select {
	case e.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-e.quit:
		return false
	}
}

func (e *engine) assign(parts map[string][]int32, routes map[string]*route) {
	e.do(func() {
		for topic, indexes := range parts {
			for _, p := range indexes {
				if e.parts[topic] == nil {
					e.parts[topic] = map[int32]*live{}
				}
				e.parts[topic][p] = newLive(e.sched.assign(topic, p, routes[topic]))
			}
		}
	})
}

// revoke ends assignments in order: nothing new starts, what runs may finish
// until timeout, then its contexts end. It returns the offsets to commit, and
// drops the assignments, so that later results do not count.
func (e *engine) revoke(parts map[string][]int32, timeout time.Duration) map[string]map[int32]kgo.EpochOffset {
	d := &drain{done: make(chan struct{})}
	e.do(func() {
		d.of = e.pick(parts)
		for _, l := range d.of {
			l.closing = true
		}
		e.drains = append(e.drains, d)
		e.endDrains()
	})
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-d.done:
	case <-timer.C:
		e.do(func() {
			for _, l := range d.of {
				l.cancel()
			}
		})
		// A cancelled handler rolls back at once; one that ignores its context is
		// left behind, its result dropped.
		timer.Reset(timeout / 8)
		select {
		case <-d.done:
		case <-timer.C:
		}
	}
	var offsets map[string]map[int32]kgo.EpochOffset
	e.do(func() {
		offsets = watermarks(d.of)
		e.forget(d.of)
	})
	return offsets
}

// lose ends assignments that another member may already have: nothing is
// committed.
func (e *engine) lose(parts map[string][]int32) {
	e.do(func() { e.forget(e.pick(parts)) })
}

func (e *engine) pick(parts map[string][]int32) []*live {
	var out []*live
	for topic, indexes := range parts {
		for _, p := range indexes {
			if l := e.parts[topic][p]; l != nil {
				out = append(out, l)
			}
		}
	}
	return out
}

func (e *engine) forget(ls []*live) {
	for _, l := range ls {
		l.cancel()
		if l.paused {
			e.pause(l.topic, l.partition, false)
		}
		e.sched.drop(l.assignment)
		delete(e.parts[l.topic], l.partition)
	}
	e.endDrains()
}

// endDrains reports the drains whose partitions run nothing any more.
func (e *engine) endDrains() {
	kept := e.drains[:0]
	for _, d := range e.drains {
		busy := false
		for _, l := range d.of {
			busy = busy || !l.dropped && l.running > 0
		}
		if busy {
			kept = append(kept, d)
		} else {
			close(d.done)
		}
	}
	e.drains = kept
}

// progress returns the watermarks that moved since they were last committed, and
// brings the gauges up to date.
func (e *engine) progress() map[string]map[int32]kgo.EpochOffset {
	var out map[string]map[int32]kgo.EpochOffset
	e.do(func() {
		var moved []*live
		for _, parts := range e.parts {
			for _, l := range parts {
				if next, _, ok := l.tracker.watermark(); ok && next != l.committed {
					moved = append(moved, l)
				}
			}
		}
		out = watermarks(moved)
		e.gauges(e.sched, e.parts)
	})
	return out
}

// committed notes what the group has stored.
func (e *engine) committed(offsets map[string]map[int32]kgo.EpochOffset) {
	e.do(func() {
		for topic, parts := range offsets {
			for p, o := range parts {
				if l := e.parts[topic][p]; l != nil {
					l.committed = max(l.committed, o.Offset)
				}
			}
		}
	})
}

func watermarks(ls []*live) map[string]map[int32]kgo.EpochOffset {
	out := map[string]map[int32]kgo.EpochOffset{}
	for _, l := range ls {
		next, epoch, ok := l.tracker.watermark()
		if !ok || l.dropped {
			continue
		}
		if out[l.topic] == nil {
			out[l.topic] = map[int32]kgo.EpochOffset{}
		}
		out[l.topic][l.partition] = kgo.EpochOffset{Epoch: epoch, Offset: next}
	}
	return out
}
