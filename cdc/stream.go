package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
	"github.com/quokka-stream/quokka/cdc/internal/txbuf"
)

// errSilent ends a session whose server has died without closing the connection.
var errSilent = errors.New("the database server has not answered for a minute")

// errShutdown lets a server stop that waits for us.
var errShutdown = errors.New("the database server stops, and not everything can be confirmed")

const (
	// statusInterval is how often the server hears from us, whatever happens: it
	// ends connections that are silent for wal_sender_timeout.
	statusInterval = time.Second
	// After askAfter without a message we ask for one, after silentAfter the
	// server is taken for dead.
	askAfter    = 10 * time.Second
	silentAfter = time.Minute
	// idleFactor: positions that only pass what is not published are stored that
	// much more rarely than those behind which something was written.
	idleFactor = 10
	// A server that is asked to stop asks for one status after the other until
	// everything is confirmed; otherwise it asks only those who say nothing. What
	// cannot be confirmed now must not keep it up: after shutdownPatience the
	// stream is given up. Answers are shutdownPause apart.
	shutdownPatience = 3 * time.Second
	shutdownPause    = 100 * time.Millisecond
	// monitorInterval is how often lags are measured.
	monitorInterval = 5 * time.Second
	// queueLength is how many transactions wait for the publisher. Their size is
	// bounded by the memory limit.
	queueLength = 256
)

// streaming is a session's second part: following the slot. Five goroutines:
// one receives and puts transactions together, one publishes them, one stores
// and confirms what the broker acknowledged, one keeps the server patient, one
// measures.
type streaming struct {
	*session
	ctx    context.Context
	stream *pgrepl.Stream
	buffer *txbuf.Assembler
	track  *tracker
	queue  chan work
	// urgent asks for a confirmation at once.
	urgent chan struct{}

	received  atomic.Uint64 // position of the latest keepalive
	confirmed atomic.Uint64
	lastSeen  atomic.Int64 // when the server was heard, Unix nanoseconds
	waiting   atomic.Bool  // the receiver waits for the server, not for the publisher

	// The server's latest questions in a row, which nothing new could answer.
	asked struct {
		since, last time.Time
		confirmed   uint64
	}
}

// work is a transaction on its way to the publisher.
type work struct {
	tx *txbuf.Tx
	in *inflight
}

// stream follows the slot from the stored position until an error or the end of
// the context. Then it waits for what is under way and confirms it.
func (s *session) stream() error {
	ctx, fail := context.WithCancelCause(s.ctx)
	defer fail(nil)
	stream, err := s.conn.Start(ctx, pgrepl.Options{Slot: s.Slot, Publication: s.Publication, From: s.state.Position, Whole: s.whole})
	if err != nil {
		return s.startError(err)
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, stream.Interrupt)()

	st := &streaming{
		session: s, ctx: ctx, stream: stream, track: newTracker(s.state.Position),
		queue: make(chan work, queueLength), urgent: make(chan struct{}, 1),
		buffer: txbuf.New(txbuf.Config{
			MemoryLimit: s.cfg.MemoryLimit, Dir: s.cfg.SpillDir, Prefix: tracePrefix,
			OnSpill: func(n int64) { s.metrics.spilled.WithLabelValues(s.Name).Add(float64(n)) },
		}),
	}
	st.confirmed.Store(uint64(s.state.Position))
	st.lastSeen.Store(time.Now().UnixNano())
	s.health.confirm(s.state.Position)
	s.health.set(Streaming, nil)
	s.log.Info("streaming", "position", s.state.Position)

	var wg, keeper sync.WaitGroup
	for _, f := range []func() error{st.receive, st.publish(fail), st.confirm, st.monitor} {
		wg.Go(func() {
			if err := f(); err != nil {
				fail(err)
			}
		})
	}
	patient, stop := context.WithCancel(context.WithoutCancel(ctx))
	keeper.Go(func() {
		if err := st.keep(patient); err != nil {
			fail(err)
		}
	})
	wg.Wait()
	cause := context.Cause(ctx)
	st.finish()
	stop()
	keeper.Wait()
	return cause
}

// startError makes sense of a refusal to stream.
func (s *session) startError(err error) error {
	switch pgrepl.CodeOf(err) {
	case "55000": // the slot was invalidated since we looked
		return &SlotError{Source: s.Name, Slot: s.Slot, Reason: ErrSlotLost, Detail: err.Error(),
			WayOut: "to start over with a new snapshot, set QUOKKA_CDC_RESNAPSHOT=true and recreate the source's topics"}
	case "42501":
		return s.serverError(err)
	}
	return err
}

// receive puts transactions together and queues them.
func (s *streaming) receive() error {
	defer s.buffer.Close()
	defer func() {
		close(s.queue)
	}()
	for {
		s.waiting.Store(true)
		m, err := s.stream.Receive()
		s.waiting.Store(false)
		if err != nil {
			if s.ctx.Err() != nil {
				return context.Cause(s.ctx)
			}
			return err
		}
		s.lastSeen.Store(time.Now().UnixNano())
		if m.Data == nil {
			if err := s.keepalive(m); err != nil {
				return err
			}
			continue
		}
		tx, err := s.buffer.Add(m.Pos, m.Data)
		if err != nil {
			return err
		}
		if tx == nil {
			continue
		}
		s.metrics.transactions.WithLabelValues(s.Name).Inc()
		w := work{tx, s.track.begin(tx.EndLSN, tx.CommitTime)}
		select {
		case s.queue <- w:
		case <-s.ctx.Done():
			tx.Release()
			return context.Cause(s.ctx)
		}
	}
}

// keepalive notes how far the server has read. Everything it had for us up to
// there has been received before it, so once that is delivered the position may
// move there; it is not confirmed before.
func (s *streaming) keepalive(m pgrepl.Message) error {
	s.received.Store(max(s.received.Load(), uint64(m.Pos)))
	if s.buffer.Idle() {
		s.track.mark(m.Pos)
	}
	if !m.Reply {
		return nil
	}
	select {
	case s.urgent <- struct{}{}:
	default:
	}
	now, confirmed := time.Now(), s.confirmed.Load()
	if now.Sub(s.asked.last) > 2*statusInterval || confirmed != s.asked.confirmed {
		s.asked.since, s.asked.confirmed = now, confirmed
	}
	s.asked.last = now
	if now.Sub(s.asked.since) > shutdownPatience {
		return errShutdown
	}
	return nil
}

// publish returns the goroutine that writes queued transactions.
func (s *streaming) publish(fail func(error)) func() error {
	p := &publisher{
		tables: s.tables, emit: emitter{ctx: s.linger, client: s.client},
		fault: s.cfg.Fault, joined: s.joined, fail: fail, relations: map[uint32]*table{},
		spans: spans{tracer: s.cfg.Tracer.Tracer(scopeName)},
	}
	return func() error {
		defer func() {
			for w := range s.queue {
				w.tx.Release()
			}
		}()
		for w := range s.queue {
			if s.ctx.Err() != nil {
				w.tx.Release()
				return nil
			}
			if err := p.transaction(s.ctx, w.tx, w.in); err != nil {
				fail(err) // first: it is what ends the queue
				return err
			}
		}
		return nil
	}
}

// joined tells whether a relation that was never read is published now. One that
// left the publication since, or was renamed, is not.
func (s *streaming) joined(ctx context.Context, r *pgoutput.Relation) (bool, error) {
	all, err := s.tables.catalog.publication(ctx, s.Publication)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(all, func(p published) bool { return p.oid == r.ID && p.schema == r.Namespace && p.name == r.Name }), nil
}

// confirm stores and then confirms the position, at every interval in which
// something was delivered. Stored before confirmed: a slot that is confirmed
// beyond what is stored was moved by somebody else.
func (s *streaming) confirm() error {
	tick := time.NewTicker(s.cfg.ConfirmInterval)
	defer tick.Stop()
	last, at := s.track.progress(), time.Time{}
	for {
		urgent := false
		select {
		case <-tick.C:
		case <-s.urgent:
			urgent = true
		case <-s.ctx.Done():
			return nil
		}
		p := s.track.progress()
		if p.pos <= last.pos {
			if urgent {
				if err := s.askedInVain(); err != nil {
					return err
				}
			}
			continue
		}
		if p.delivered == last.delivered && !urgent && time.Since(at) < idleFactor*s.cfg.ConfirmInterval {
			continue
		}
		if err := s.advance(s.ctx, p.pos); err != nil {
			if s.ctx.Err() != nil {
				return nil
			}
			return err
		}
		last, at = p, time.Now()
	}
}

// askedInVain answers a server that wants a confirmation there is not, not so
// fast that both do nothing else.
func (s *streaming) askedInVain() error {
	select {
	case <-time.After(shutdownPause):
	case <-s.ctx.Done():
	}
	return s.status(false)
}

func (s *streaming) advance(ctx context.Context, pos pgoutput.LSN) error {
	next := *s.state
	next.Position = pos
	if err := s.store.save(ctx, &next); err != nil {
		return err
	}
	s.state.Position = pos
	s.cfg.Fault("progress.stored")
	s.confirmed.Store(uint64(pos))
	if err := s.status(false); err != nil {
		return err
	}
	s.health.confirm(pos)
	s.cfg.Fault("progress.confirmed")
	return nil
}

func (s *streaming) status(ask bool) error {
	return s.stream.Status(pgoutput.LSN(s.received.Load()), pgoutput.LSN(s.confirmed.Load()), ask)
}

// keep sends the server a status every second, and tells a server that is gone
// from one that has nothing to say.
func (s *streaming) keep(ctx context.Context) error {
	tick := time.NewTicker(statusInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		silent := time.Since(time.Unix(0, s.lastSeen.Load()))
		if s.waiting.Load() && silent > silentAfter {
			return errSilent
		}
		if err := s.status(silent > askAfter); err != nil {
			return err
		}
	}
}

// monitor measures the lags.
func (s *streaming) monitor() error {
	tick := time.NewTicker(monitorInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return nil
		}
		p := s.track.progress()
		seconds := 0.0
		if !p.oldest.IsZero() {
			seconds = max(0, time.Since(p.oldest).Seconds())
		}
		s.metrics.lagSeconds.WithLabelValues(s.Name).Set(seconds)
		s.metrics.buffered.WithLabelValues(s.Name).Set(float64(s.buffer.InMemory()))
		bytes, err := s.tables.catalog.slotLag(s.ctx, s.Slot)
		if err != nil {
			if s.ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("measure the slot's lag: %w", err)
		}
		s.metrics.lagBytes.WithLabelValues(s.Name).Set(bytes)
	}
}

// finish waits for what is with the client, then stores and confirms it. It is
// the last chance to spare the next session some duplicates, not more.
func (s *streaming) finish() {
	if err := s.client.Flush(s.linger); err != nil {
		return
	}
	p := s.track.progress()
	if p.pos <= s.state.Position {
		return
	}
	ctx, cancel := context.WithTimeout(s.linger, s.cfg.ShutdownTimeout)
	defer cancel()
	if err := s.advance(ctx, p.pos); err != nil {
		s.log.Debug("last position not confirmed", "error", err)
	}
}
