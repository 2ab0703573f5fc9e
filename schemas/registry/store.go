package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// topicLog is the topic as the store needs it. Only the store calls it: read
// from one goroutine, append and end from one other at a time.
type topicLog interface {
	// read returns the next records, at least one, in order.
	read(ctx context.Context) ([]logRecord, error)
	// append writes records as one batch, marked with writer and base, and
	// returns the offset after the last. An error that wraps errUnknown means
	// that they may have been written, or still be.
	append(ctx context.Context, records []logRecord) (next int64, err error)
	// end returns the offset after the last record.
	end(ctx context.Context) (int64, error)
	// ping is end for health checks: any goroutine may call it, and writes
	// without an outcome do not hold it up.
	ping(ctx context.Context) (int64, error)
	close()
}

var (
	// errUnknown says that a write may or may not have happened.
	errUnknown = errors.New("the outcome of the write is unknown")
	// errTooLarge says that Kafka takes no record of this size.
	errTooLarge = errors.New("larger than Kafka accepts")
	// errContended says that other instances kept writing first.
	errContended = errors.New("other registry instances keep writing to the topic: try again")
)

// store keeps the state up to date with the topic and is the only way to change
// it. The rules of a change:
//
//   - decide on a state that has everything in the topic
//   - write what was decided, with the offset decided at
//   - answer only after having read it back
//
// Several instances may share a topic without electing a leader. A write that
// another instance's write preceded is ignored by every instance, by the same
// rule over the same log (state.loses), and decided anew. What is left of it
// under its key is covered by the next write with what the key should hold, so
// that compaction cannot make the loser win. The one gap: an instance that dies
// between losing and covering, with no other instance to start or to write
// before the topic's segment is rolled and compacted.
type store struct {
	log     topicLog
	self    string
	logger  *slog.Logger
	metrics *metrics
	// quiet is how long catchUp waits for records that may not exist: after
	// compaction the last offsets of a topic can be empty.
	quiet time.Duration
	// writing admits one change at a time.
	writing chan struct{}

	mu      sync.RWMutex
	state   *state
	changed chan struct{} // closed and replaced whenever state.offset grew
	failure error         // of the last read, nil after a success
}

func newStore(log topicLog, self string, quiet time.Duration, logger *slog.Logger, m *metrics) *store {
	return &store{
		log: log, self: self, logger: logger, metrics: m, quiet: quiet, writing: make(chan struct{}, 1),
		state: newState(self, logger), changed: make(chan struct{}),
	}
}

// run reads the topic until ctx ends.
func (s *store) run(ctx context.Context) {
	for ctx.Err() == nil {
		records, err := s.log.read(ctx)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.failure = err
		if len(records) > 0 && records[0].offset < s.state.offset {
			s.startOver(records[0].offset)
		}
		for _, r := range records {
			s.state.apply(r)
		}
		if len(records) > 0 {
			close(s.changed)
			s.changed = make(chan struct{})
			s.metrics.observe(s.state)
		}
		s.mu.Unlock()
		if err != nil {
			s.logger.Warn("reading the schemas topic failed, trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// startOver empties the state: the topic was deleted and made again under us.
// Ids that were given out stay so.
func (s *store) startOver(offset int64) {
	s.logger.Error("the schemas topic starts again, rebuilding from it", "read", s.state.offset, "offset", offset)
	fresh := newState(s.self, s.logger)
	for context, space := range s.state.contexts {
		fresh.space(context).max = space.max
	}
	s.state = fresh
}

// view calls f with the state, which it must not keep.
func (s *store) view(f func(*state)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.state)
}

// health returns the error of the last read, if it failed.
func (s *store) health() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.failure
}

// wait returns when everything below offset has been applied.
func (s *store) wait(ctx context.Context, offset int64) error {
	for {
		s.mu.RLock()
		reached, changed := s.state.offset >= offset, s.changed
		s.mu.RUnlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting to read the schemas topic up to offset %d: %w", offset, ctx.Err())
		}
	}
}

// catchUp returns when everything that was in the topic at the call has been
// applied. Where the end is not reached, it writes a record that can be.
func (s *store) catchUp(ctx context.Context) error {
	end, err := s.log.end(ctx)
	if err != nil {
		return err
	}
	for {
		before, _ := s.position()
		if err := s.waitQuiet(ctx, end); err == nil || ctx.Err() != nil {
			return err
		}
		if after, mark := s.position(); after == before {
			next, err := s.write(ctx, []record{noopRecord(mark)}, after)
			if err != nil {
				return err
			}
			return s.wait(ctx, next)
		}
	}
}

// waitQuiet is wait for at most s.quiet.
func (s *store) waitQuiet(ctx context.Context, offset int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.quiet)
	defer cancel()
	return s.wait(ctx, offset)
}

// position returns the offset applied and the high-water mark at it.
func (s *store) position() (offset int64, maxIDs map[string]int) {
	s.view(func(st *state) { offset, maxIDs = st.offset, st.maxIDs() })
	return offset, maxIDs
}

// update changes the state. decide returns the records to write for the state
// it is given, nil for none; it may be called several times.
func (s *store) update(ctx context.Context, decide func(*state) ([]record, error)) error {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for other writes: %w", ctx.Err())
	}
	for attempt := 0; ; attempt++ {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		var repairs, records []record
		var base int64
		var refusal error
		s.view(func(st *state) {
			records, refusal = decide(st)
			repairs, base = st.repairs(), st.offset
		})
		if refusal != nil {
			records = nil
		}
		all := slices.Concat(repairs, records)
		if len(all) == 0 {
			return refusal
		}
		won, err := s.commit(ctx, all, base)
		switch {
		case err != nil && refusal == nil:
			return err
		case err != nil || won:
			return refusal
		}
		s.metrics.conflicts.Inc()
		if err := pause(ctx, attempt); err != nil {
			return errContended
		}
	}
}

// pause waits a little, longer with each attempt and never as long as others
// that lost to the same write.
func pause(ctx context.Context, attempt int) error {
	longest := min(time.Millisecond<<min(attempt, 10), 100*time.Millisecond)
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open brings a new store up to date. An instance that only reads need not be
// able to write: what needs repair is left to the next change.
func (s *store) open(ctx context.Context) error {
	s.writing <- struct{}{}
	err := s.catchUp(ctx)
	<-s.writing
	if err != nil {
		return err
	}
	if err := s.update(ctx, func(*state) ([]record, error) { return nil, nil }); err != nil {
		s.logger.Warn("the schemas topic needs a repair that failed, it is tried again with the next change", "error", err)
	}
	return nil
}

// commit writes records that were decided on the state at offset base, and
// reports whether they counted.
func (s *store) commit(ctx context.Context, records []record, base int64) (bool, error) {
	next, err := s.write(ctx, records, base)
	if err != nil {
		return false, err
	}
	if err := s.wait(ctx, next); err != nil {
		return false, fmt.Errorf("%w: %w", errUnknown, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.lost[base] {
		delete(s.state.lost, base)
		return false, nil
	}
	return true, nil
}

// write appends records. A tombstone is written under every spelling that its
// key has in the topic.
func (s *store) write(ctx context.Context, records []record, base int64) (int64, error) {
	var out []logRecord
	s.view(func(st *state) {
		for _, r := range records {
			out = append(out, logRecord{key: r.key.bytes(), value: r.value, writer: s.self, base: base})
			if r.value != nil {
				continue
			}
			for _, form := range st.otherSpellings(r.key) {
				out = append(out, logRecord{key: []byte(form), writer: s.self, base: base})
			}
		}
	})
	return s.log.append(ctx, out)
}
