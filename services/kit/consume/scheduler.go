package consume

import (
	"container/heap"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// scheduler decides which record is handled next. It is pure: the engine calls
// it from one goroutine and passes the time in.
//
// Invariants:
//   - a lane (the records of one key of one partition) has at most one task
//     running, and its queue stays in offset order until a record is done;
//   - a lane is in exactly one state; ready lanes are in their assignment's ready
//     list, parked lanes in the heap;
//   - an assignment with ready lanes that is not closing is in turns exactly once,
//     so partitions take turns however full one of them is;
//   - records and bytes count what is held: queued, running or parked.
type scheduler struct {
	limits  Limits
	turns   []*assignment
	parked  laneHeap
	held    int
	bytes   int64
	running int
	// assigned is the number of assignments.
	assigned int
}

// assignment is one partition for as long as the group gives it to this member.
// A partition that comes back later is a new assignment, so that what was left
// over from the old one cannot touch it.
type assignment struct {
	topic     string
	partition int32
	route     *route
	tracker   tracker
	lanes     map[string]*lane
	ready     []*lane
	inTurns   bool
	held      int
	bytes     int64
	running   int
	// parked and parkedBytes count what waits in parked lanes.
	parked      int
	parkedBytes int64
	// waited is how long the record that was started last had been held.
	waited time.Duration
	// closing is set on revocation: nothing new starts.
	closing bool
	// dropped is set when the assignment is over: late results are ignored.
	dropped bool
	paused  bool
}

type laneState uint8

const (
	idle laneState = iota
	ready
	running
	parked
)

// lane is the queue of one key. Records without a key have a lane each; a batch
// route has one lane per partition.
type lane struct {
	of    *assignment
	key   string
	named bool // in of.lanes under key
	queue []*item
	state laneState
	due   time.Time
	// failing is when the lane began to fail, zero while it does not.
	failing time.Time
	index   int // in the heap of parked lanes
}

// item is one record on its way through.
type item struct {
	record *kgo.Record
	ticket uint64
	bytes  int64
	// fetched is when it came.
	fetched time.Time
	// message and attempts belong to the worker that has the item, and to nobody
	// while it waits.
	message *Message
	// solo takes a record out of its batch, to find which one of them fails.
	solo bool
	// lost is why the record was given up; what remains is its dead letter, which
	// could not be written letters times.
	lost    error
	letters int
}

// task is the work of one lane handed to a worker.
type task struct {
	lane    *lane
	items   []*item
	failing time.Duration
}

// result is what became of one item of a task.
type result struct {
	verdict verdict
	after   time.Duration
	err     error // of a stop
}

func newScheduler(limits Limits) *scheduler { return &scheduler{limits: limits} }

func (s *scheduler) assign(topic string, partition int32, r *route) *assignment {
	s.assigned++
	return &assignment{topic: topic, partition: partition, route: r, lanes: map[string]*lane{}}
}

// add queues fetched records of an assignment, in offset order.
func (s *scheduler) add(now time.Time, a *assignment, records []*kgo.Record) {
	for _, r := range records {
		it := &item{record: r, ticket: a.tracker.add(r.Offset, r.LeaderEpoch, r.Timestamp.UnixMilli()), bytes: size(r), fetched: now}
		a.held++
		s.held++
		a.bytes += it.bytes
		s.bytes += it.bytes
		l := s.laneOf(a, r)
		l.queue = append(l.queue, it)
		switch l.state {
		case idle:
			s.makeReady(l)
		case parked:
			a.parked++
			a.parkedBytes += it.bytes
		}
	}
}

func (s *scheduler) laneOf(a *assignment, r *kgo.Record) *lane {
	key, named := string(r.Key), true
	switch {
	case a.route.batch > 0:
		key = ""
	case r.Key == nil:
		named = false
	}
	if named {
		if l := a.lanes[key]; l != nil {
			return l
		}
	}
	l := &lane{of: a, key: key, named: named, index: -1}
	if named {
		a.lanes[key] = l
	}
	return l
}

func (s *scheduler) makeReady(l *lane) {
	l.state = ready
	a := l.of
	a.ready = append(a.ready, l)
	if !a.inTurns && !a.closing {
		a.inTurns = true
		s.turns = append(s.turns, a)
	}
}

// next returns the next task, nil if no lane is ready.
func (s *scheduler) next(now time.Time) *task {
	for len(s.turns) > 0 {
		a := s.turns[0]
		s.turns = s.turns[1:]
		a.inTurns = false
		if a.closing || len(a.ready) == 0 {
			continue
		}
		l := a.ready[0]
		a.ready = a.ready[1:]
		if len(a.ready) > 0 {
			a.inTurns = true
			s.turns = append(s.turns, a)
		}
		l.state = running
		a.running++
		s.running++
		t := &task{lane: l, items: l.head()}
		if first := t.items[0]; l.failing.IsZero() {
			a.waited = now.Sub(first.fetched)
		}
		if !l.failing.IsZero() {
			t.failing = now.Sub(l.failing)
		}
		return t
	}
	return nil
}

// head returns the items the lane's next task takes: one, or as many as the
// route's batch allows.
func (l *lane) head() []*item {
	n := 1
	if !l.queue[0].solo {
		for n < l.of.route.batch && n < len(l.queue) && !l.queue[n].solo {
			n++
		}
	}
	return append([]*item(nil), l.queue[:n]...)
}

// finish takes a task's results back, one per item. It reports whether the
// assignment still counts: false means the partition was taken away meanwhile.
func (s *scheduler) finish(now time.Time, t *task, results []result) bool {
	l := t.lane
	a := l.of
	if a.dropped {
		return false
	}
	a.running--
	s.running--

	// Items that are done leave the front of the queue; what must be tried again
	// stays, in its order.
	rest := l.queue[len(t.items):]
	var again []*item
	var after time.Duration
	stopped := false
	for i, it := range t.items {
		switch results[i].verdict {
		case acknowledge:
			l.failing = time.Time{}
			s.release(a, it)
		case deadLetter: // the letter is written; the key still counts as failing
			if l.failing.IsZero() {
				l.failing = now
			}
			s.release(a, it)
		case retry:
			again = append(again, it)
			after = max(after, results[i].after)
		case stop:
			again = append(again, it)
			stopped = true
		}
	}
	if len(again) > 0 {
		if l.failing.IsZero() {
			l.failing = now
		}
		l.queue = append(again, rest...)
	} else {
		l.queue = rest
	}

	switch {
	case len(l.queue) == 0:
		l.state = idle
		if l.named {
			delete(a.lanes, l.key)
		}
	case stopped:
		l.state = idle // never again in this run
	case len(again) > 0 && after > 0:
		l.state = parked
		l.due = now.Add(after)
		heap.Push(&s.parked, l)
		l.countParked(+1)
	default:
		s.makeReady(l)
	}
	return true
}

func (s *scheduler) release(a *assignment, it *item) {
	a.tracker.done(it.ticket)
	a.held--
	s.held--
	a.bytes -= it.bytes
	s.bytes -= it.bytes
}

// wake makes the parked lanes ready whose time has come.
func (s *scheduler) wake(now time.Time) {
	for len(s.parked) > 0 && !s.parked[0].due.After(now) {
		l := heap.Pop(&s.parked).(*lane)
		l.countParked(-1)
		s.makeReady(l)
	}
}

// countParked adds the lane's queue to what is parked, or takes it off.
func (l *lane) countParked(sign int) {
	l.of.parked += sign * len(l.queue)
	for _, it := range l.queue {
		l.of.parkedBytes += int64(sign) * it.bytes
	}
}

// due returns when the next parked lane is to be woken.
func (s *scheduler) due() (time.Time, bool) {
	if len(s.parked) == 0 {
		return time.Time{}, false
	}
	return s.parked[0].due, true
}

// drop ends an assignment: what it holds is forgotten, what it runs is ignored
// when it finishes.
func (s *scheduler) drop(a *assignment) {
	if a.dropped {
		return
	}
	a.closing, a.dropped = true, true
	s.held -= a.held
	s.bytes -= a.bytes
	s.running -= a.running
	s.assigned--
	for _, l := range append([]*lane(nil), s.parked...) {
		if l.of == a {
			heap.Remove(&s.parked, l.index)
		}
	}
}

// room says whether more may be fetched.
func (s *scheduler) room() bool {
	return s.held < s.limits.Records && s.bytes < s.limits.Bytes
}

// full and slack say whether an assignment is to be paused, and whether it may go
// on. In between, it stays as it is.
//
// Paused is the partition that holds more than its share and does not get on: its
// records wait for long, or its keys are parked. Others then have the rest of the
// room. A busy partition that gets on is not paused: pausing costs what the client
// has fetched ahead, and a wait for the fetch that is under way. Paused is also the
// one that runs too far ahead of its watermark.
func (s *scheduler) full(a *assignment) bool {
	records, bytes := s.share()
	crowded := s.assigned > 1 && (a.held >= records || a.bytes >= bytes)
	return crowded && (a.waited >= slow || a.parked >= records/2 || a.parkedBytes >= bytes/2) || a.tracker.window() >= s.limits.Window
}

func (s *scheduler) slack(a *assignment) bool {
	records, bytes := s.share()
	return a.held <= records/2 && a.bytes <= bytes/2 && a.tracker.window() <= s.limits.Window/2
}

// slow is how long records wait in a partition that does not get on. What is left
// when a paused one is resumed keeps it busy for about half as long, in which the
// next records come.
const slow = time.Second

// share is what one partition may hold when all others want theirs.
func (s *scheduler) share() (records int, bytes int64) {
	n := max(1, s.assigned)
	return max(2, s.limits.Records/n), max(2, s.limits.Bytes/int64(n))
}

// size is what a record is counted as: its bytes and what holding it costs.
func size(r *kgo.Record) int64 {
	const overhead = 256
	n := overhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// laneHeap orders parked lanes by when they are due.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h laneHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *laneHeap) Push(x any)        { l := x.(*lane); l.index = len(*h); *h = append(*h, l) }
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.index = -1
	return l
}
