package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// leader is a relay while it holds the lease.
type leader struct {
	*Relay
	s   *session
	pos position
	rot rotation

	dirty  bool  // pos has progressed since it was last stored
	looked bool  // the window is looked up:
	queue  []ref // what is left of it,
	more   bool  // and perhaps there is more behind
	// ahead holds the next events, read while those before them were on their way.
	ahead []stored
	under int // how many are on their way

	pub *publisher
	// delivered holds what a failed batch got acknowledged behind the event that
	// failed: those are not sent again.
	delivered map[int64]bool

	stored    int       // positions stored; at cfg.maxStored all but the last are dropped
	counted   time.Time // when pending events were last counted
	compactAt time.Time
}

// lead publishes window after window until ctx ends or the session fails. work
// outlives ctx by the time granted for an orderly end.
func (l *leader) lead(ctx, work context.Context) (err error) {
	if l.pos, err = l.s.load(work); err != nil {
		return err
	}
	l.rot = rotation{rows: l.cfg.RotateRows, after: l.cfg.RotateAfter}
	if err := l.s.loadRotation(work, &l.rot); err != nil {
		return err
	}
	l.stored = l.cfg.maxStored // nobody knows how many there are
	defer func() {
		if l.pub != nil {
			l.pub.close()
		}
	}()
	l.cfg.Logger.Info("outbox relay: leading", "cursor", l.pos.cursor, "target", l.pos.target)
	l.cfg.Fault(FaultLeading)

	idle := l.cfg.PollMin
	failed := time.Duration(0) // the pause after the last failed batch
	for ctx.Err() == nil {
		if err := l.maintain(work); err != nil {
			return err
		}
		found, err := l.next(work)
		if err != nil {
			return err
		}
		if !found {
			if err := l.store(work); err != nil {
				return err
			}
			l.metrics.oldest.Store(0)
			l.metrics.pending.Set(0)
			if !l.sleep(ctx, idle, l.hint) {
				break
			}
			idle = min(2*idle, l.cfg.PollMax)
			continue
		}
		idle = l.cfg.PollMin
		err = l.batch(work)
		var refused *publishError
		switch {
		case err == nil:
			failed = 0
		case errors.As(err, &refused) && work.Err() == nil && !errors.Is(err, errLeaseLost):
			failed = min(max(2*failed, 250*time.Millisecond), 30*time.Second)
			l.metrics.errors.Inc()
			l.cfg.Logger.Error("outbox relay: cannot publish, trying again; everything behind this event waits", "err", refused.err, "in", failed)
			l.sleep(ctx, failed, nil)
		default:
			return err
		}
	}
	return l.store(work)
}

// next makes sure that the queue holds what comes next, and tells whether there is
// anything.
func (l *leader) next(ctx context.Context) (bool, error) {
	for len(l.queue) == 0 {
		if l.looked && !l.more { // all of the window is published
			l.dirty = l.dirty || l.pos.sentTo > 0 // else nothing of it was ever stored
			l.pos, l.looked, l.delivered = l.pos.finish(), false, nil
		}
		if l.pos.target == "" {
			now, found, err := l.s.poll(ctx, l.pos.cursor)
			if err != nil {
				return false, err
			}
			if !found {
				// No reason to store it: the older cursor finds the same.
				l.pos = l.pos.skip(now)
				return false, nil
			}
			l.pos = l.pos.open(now)
		}
		var err error
		if l.queue, l.more, err = l.s.refs(ctx, l.pos); err != nil {
			return false, err
		}
		l.looked = true
	}
	return true, nil
}

// lookAgain drops what is looked up of the window.
func (l *leader) lookAgain() { l.queue, l.looked, l.ahead = nil, false, nil }

// publishError: the batch is not published. The session is sound.
type publishError struct{ err error }

func (e *publishError) Error() string { return e.err.Error() }
func (e *publishError) Unwrap() error { return e.err }

// batch publishes the next events of the queue.
func (l *leader) batch(ctx context.Context) error {
	events, err := l.read(ctx)
	if errors.Is(err, errMoved) {
		l.lookAgain()
		return nil
	}
	if err != nil {
		return err
	}
	l.metrics.oldest.Store(events[0].created.UnixNano())
	l.cfg.Fault(FaultRead)
	if l.pub == nil {
		if l.pub, err = l.publisher(); err != nil {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	n, tooLarge := l.pub.fits(events)
	if n > 0 {
		l.queue = l.queue[n:]
		if err := l.send(ctx, events[:n]); err != nil {
			return err
		}
	}
	if tooLarge != nil {
		l.lookAgain()
		return &publishError{tooLarge}
	}
	return nil
}

// read returns the next events of the queue: those read ahead, if any.
func (l *leader) read(ctx context.Context) ([]stored, error) {
	if events := l.ahead; len(events) > 0 {
		l.ahead = nil
		return events, nil
	}
	return l.s.fetch(ctx, l.queue[:l.take()])
}

// readAhead reads what comes next while what was read before is on its way.
func (l *leader) readAhead(ctx context.Context) (err error) {
	if len(l.queue) == 0 {
		return nil
	}
	l.ahead, err = l.s.fetch(ctx, l.queue[:l.take()])
	if errors.Is(err, errMoved) {
		return nil // whoever reads it next will see
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLeaseLost, err)
	}
	return nil
}

// take returns how many of the queue make a batch; at least one, if there is one.
func (l *leader) take() int {
	bytes := 0
	for i, r := range l.queue {
		bytes += int(r.size)
		if i > 0 && (i == l.cfg.BatchRows || bytes > l.cfg.BatchBytes) {
			return i
		}
	}
	return len(l.queue)
}

// send publishes events and advances the position over them.
func (l *leader) send(ctx context.Context, events []stored) error {
	doubt := l.pos // before it covers these events
	l.pos = l.pos.sending(events[len(events)-1].seq)
	if err := l.storeAs(ctx, l.pos); err != nil {
		return err
	}
	l.cfg.Fault(FaultSending)

	todo := make([]stored, 0, len(events))
	for _, e := range events {
		if l.delivered[e.seq] {
			continue
		}
		if doubt.inDoubt(e.seq) {
			l.metrics.redelivered.Inc()
		}
		todo = append(todo, e)
	}
	if len(todo) == 0 {
		l.advance(events)
		return nil
	}
	l.under = len(todo)
	defer func() { l.under = 0 }()
	acked, err := l.pub.publish(ctx, todo, doubt.inDoubt, watcher{
		meanwhile: func() error { return l.readAhead(ctx) },
		tick:      func(waiting time.Duration) error { return l.watch(ctx, waiting, todo) },
	})
	for i, ok := range acked {
		if ok {
			l.metrics.published.WithLabelValues(todo[i].Topic).Inc()
		}
	}
	if err == nil {
		l.cfg.Fault(FaultPublished)
		l.advance(events)
		return nil
	}
	return l.failed(events, todo, acked, err)
}

// advance notes that all the events are published.
func (l *leader) advance(events []stored) {
	l.pos, l.dirty = l.pos.acked(events[len(events)-1].seq), true
	l.rot.published(len(events), time.Now())
}

// failed advances over the events before the first that is not published, and
// remembers which of those behind it are.
func (l *leader) failed(events, todo []stored, acked []bool, err error) error {
	l.pub.close()
	l.pub = nil
	if l.delivered == nil {
		l.delivered = map[int64]bool{}
	}
	for i, ok := range acked {
		if ok {
			l.delivered[todo[i].seq] = true
		}
	}
	for _, e := range events {
		if !l.delivered[e.seq] {
			break
		}
		l.pos, l.dirty = l.pos.acked(e.seq), true
		delete(l.delivered, e.seq)
	}
	l.lookAgain()
	return &publishError{err}
}

// watch is called every second while acknowledgements are awaited. A session that
// is gone has taken the lease with it.
func (l *leader) watch(ctx context.Context, waiting time.Duration, events []stored) error {
	if err := l.s.ping(ctx, l.cfg.pingTimeout); err != nil {
		return fmt.Errorf("%w: %w", errLeaseLost, err)
	}
	if s := waiting.Round(time.Second); s >= 10*time.Second && s%(10*time.Second) == 0 {
		topics := map[string]int{}
		for _, e := range events {
			topics[e.Topic]++
		}
		l.cfg.Logger.Warn("outbox relay: waiting for Kafka to acknowledge", "for", s, "events_by_topic", topics)
	}
	return l.count(ctx)
}

// errLeaseLost: another relay may lead now.
var errLeaseLost = errors.New("outbox: the session that holds the lease is gone")

// store keeps the position if it has progressed.
func (l *leader) store(ctx context.Context) error {
	if !l.dirty {
		return nil
	}
	if err := l.storeAs(ctx, l.pos); err != nil {
		return err
	}
	l.cfg.Fault(FaultStored)
	return nil
}

func (l *leader) storeAs(ctx context.Context, p position) error {
	if err := l.s.store(ctx, p); err != nil {
		return err
	}
	l.dirty = false
	l.stored++
	return nil
}

// maintain keeps the tables small.
func (l *leader) maintain(ctx context.Context) error {
	now := time.Now()
	rotate, truncate := l.rot.due(now)
	if rotate {
		if err := l.s.activate(ctx, 1-l.rot.active); err != nil {
			return err
		}
		l.rot.rotated()
		l.cfg.Fault(FaultRotated)
	}
	if truncate {
		done, err := l.s.truncate(ctx, 1-l.rot.active, l.pos.cursor)
		if err != nil {
			return err
		}
		if l.rot.tried(done, now); done {
			l.metrics.rotations.Inc()
			l.cfg.Fault(FaultTruncated)
		}
	}
	if l.stored >= l.cfg.maxStored && !now.Before(l.compactAt) {
		done, err := l.s.compact(ctx, l.pos)
		if err != nil {
			return err
		}
		if done {
			l.stored, l.dirty = 0, false
		} else {
			l.compactAt = now.Add(time.Second)
		}
	}
	if l.pos.target == "" {
		return nil // not behind
	}
	return l.count(ctx)
}

// countEvery is how often waiting events are counted while there are any.
const countEvery = 2 * time.Second

// count measures, every few seconds, how much is waiting: what is on its way, what
// is left of the window, and what came after it.
func (l *leader) count(ctx context.Context) error {
	now := time.Now()
	if now.Sub(l.counted) < countEvery {
		return nil
	}
	l.counted = now
	n, err := l.s.pending(ctx, l.pos.target)
	if err != nil {
		return err
	}
	l.metrics.pending.Set(float64(min(n+int64(len(l.queue)+l.under), maxPending)))
	return nil
}
