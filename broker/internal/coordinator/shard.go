package coordinator

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Bounds of one round.
const (
	maxCommands = 512
	maxBatch    = 512 << 10 // bytes of records, after which the round ends
)

// command is a step that a request wants taken.
type command struct {
	run  func(now time.Time)
	done chan settled // capacity 1
}

// settled tells a command that its round is over.
type settled struct {
	wait *partition.Pending // what must be durable before the answer; nil: nothing
	code int16              // the round failed
}

// answer is an effect with what must be durable before it is given.
type answer struct {
	effect group.Effect
	settled
}

// shard owns the groups of one partition of the offsets topic. All its fields but
// cmds belong to its goroutine.
type shard struct {
	cfg  *Config
	part *partition.Partition
	log  *slog.Logger
	cmds chan command
	quit chan struct{}

	groups  map[string]*held
	refs    group.Ref
	waiting map[group.Ref]chan answer

	// Of the round in progress.
	entries []entry
	bytes   int
	effects []group.Effect

	last *partition.Pending // the newest append, until it is known to be durable
	next time.Time          // when a group wants Tick
}

// held is a group with what the shard knows about it.
type held struct {
	*group.Group
	next   time.Time
	stored bool // there is a record of the group in the log
}

func newShard(cfg *Config, part *partition.Partition, log *slog.Logger) *shard {
	return &shard{
		cfg: cfg, part: part, log: log,
		cmds: make(chan command, 128), quit: make(chan struct{}),
		waiting: map[group.Ref]chan answer{},
	}
}

// run is the shard's goroutine, until quit is closed.
func (s *shard) run() {
	loaded := s.load()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	expiry := time.NewTicker(s.cfg.ExpiryInterval)
	defer expiry.Stop()
	var round []command
	for {
		if !s.next.IsZero() {
			timer.Reset(max(s.next.Sub(s.cfg.Now()), 0))
		} else {
			timer.Reset(time.Hour)
		}
		round = round[:0]
		expire := false
		select {
		case <-s.quit:
			s.abandon(errcode.NotCoordinator)
			return
		case c := <-s.cmds:
			round = append(round, c)
		case <-timer.C:
		case <-expiry.C:
			expire = true
		}
		if !loaded {
			if loaded = s.load(); !loaded {
				s.finish(round, settled{code: errcode.CoordinatorNotAvailable})
				continue
			}
		}
		round, loaded = s.round(round, expire)
	}
}

// round takes one round's steps. A panic in one of them costs the round, not the
// process: the state may be half changed, so it is loaded again.
func (s *shard) round(begun []command, expire bool) (round []command, ok bool) {
	round = begun
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("a group's step panicked; the groups of the partition are loaded again", "panic", r, "stack", string(debug.Stack()))
			for _, c := range round {
				select {
				case c.done <- settled{code: errcode.UnknownServerError}:
				default: // answered before the panic
				}
			}
			s.abandon(errcode.UnknownServerError)
			ok = false
		}
	}()
	now := s.cfg.Now()
	for _, c := range round {
		c.run(now)
	}
	for more := true; more && len(round) < maxCommands && s.bytes < maxBatch; {
		select {
		case c := <-s.cmds:
			round = append(round, c)
			c.run(now)
		default:
			more = false
		}
	}
	s.tick(now)
	if expire {
		s.expire(now)
	}
	return round, s.settle(round, now)
}

// settle ends a round: it appends the records and gives everyone what to wait
// for. It reports false when the state has to be loaded again.
func (s *shard) settle(round []command, now time.Time) bool {
	if len(s.entries) > 0 {
		p, err := s.part.Append(batchOf(s.entries, now.UnixMilli()), partition.Coordinator)
		s.entries, s.bytes = nil, 0
		if err != nil {
			s.log.Error("a group's change could not be written; the groups of the partition are loaded again", "err", err)
			s.finish(round, settled{code: errcode.CoordinatorNotAvailable})
			s.abandon(errcode.CoordinatorNotAvailable)
			return false
		}
		s.last = p
	}
	if s.last != nil {
		select {
		case <-s.last.Durable():
			failed := s.last.Err()
			s.last = nil
			if failed != nil {
				s.log.Error("a group's change could not be made durable; the groups of the partition are loaded again", "err", failed)
				s.finish(round, settled{code: errcode.CoordinatorNotAvailable})
				s.abandon(errcode.CoordinatorNotAvailable)
				return false
			}
		default:
		}
	}
	s.finish(round, settled{wait: s.last})
	return true
}

func (s *shard) finish(round []command, with settled) {
	for _, c := range round {
		c.done <- with
	}
	for _, e := range s.effects {
		if ch := s.waiting[e.Ref]; ch != nil {
			delete(s.waiting, e.Ref)
			ch <- answer{effect: e, settled: with}
		}
	}
	s.effects = nil
}

// abandon answers everyone who waits and forgets the state.
func (s *shard) abandon(code int16) {
	for ref, ch := range s.waiting {
		ch <- answer{settled: settled{code: code}}
		delete(s.waiting, ref)
	}
	s.groups, s.entries, s.effects, s.bytes, s.last, s.next = nil, nil, nil, 0, nil, time.Time{}
}

// load reads the groups from the log. It reports false when that failed.
func (s *shard) load() bool {
	start := time.Now()
	s.groups = map[string]*held{}
	now := s.cfg.Now()
	records := 0
	offset := s.part.Offsets().LogStart
	for {
		r, err := s.part.Read(offset, 1<<20, partition.ReadUncommitted, true)
		if err == nil && len(r.Records) == 0 {
			break
		}
		if err == nil {
			offset, err = eachEntry(r.Records, func(info *record.Info, e entry) error {
				if info.Control() {
					return nil
				}
				records++
				return s.replay(e, now)
			})
		}
		if err != nil {
			s.log.Error("groups could not be loaded", "offset", offset, "err", err)
			s.groups = nil
			return false
		}
	}
	for _, g := range s.groups {
		g.next = g.Next()
		s.wake(g.next)
	}
	if records > 0 {
		s.log.Info("groups loaded", "groups", len(s.groups), "records", records, "took", time.Since(start))
	}
	return true
}

func (s *shard) replay(e entry, now time.Time) error {
	c, ok, err := parse(e)
	if err != nil || !ok {
		return err
	}
	g := s.groups[c.group]
	if g == nil {
		if (c.isOffset && c.offset == nil) || (!c.isOffset && c.snapshot == nil) {
			return nil
		}
		g = &held{Group: group.New(c.group, &s.cfg.Group, now)}
		s.groups[c.group] = g
	}
	switch {
	case c.isOffset && c.offset != nil:
		g.SetOffset(c.topic, c.partition, *c.offset)
	case c.isOffset:
		g.DeleteOffset(c.topic, c.partition)
	case c.snapshot != nil:
		g.Restore(now, *c.snapshot)
		g.stored = true
	default:
		g.Restore(now, group.Snapshot{Since: now})
		g.stored = false
	}
	if g.Unused() && !g.stored {
		delete(s.groups, c.group)
	}
	return nil
}

// add puts a record into the round's batch.
func (s *shard) add(e entry) {
	s.entries = append(s.entries, e)
	s.bytes += len(e.key) + len(e.value) + 16
}

// group returns a group, or nil.
func (s *shard) group(id string) *held { return s.groups[id] }

// create returns a group, made if there is none.
func (s *shard) create(id string, now time.Time) *held {
	g := s.groups[id]
	if g == nil {
		g = &held{Group: group.New(id, &s.cfg.Group, now)}
		s.groups[id] = g
	}
	return g
}

// after collects what a step of g left behind.
func (s *shard) after(g *held) {
	effects, dirty := g.TakeEffects()
	if dirty {
		s.add(groupEntry(g.Group))
		g.stored = true
	}
	s.effects = append(s.effects, effects...)
	g.next = g.Next()
	s.wake(g.next)
	if g.Unused() && !g.stored {
		delete(s.groups, g.ID)
	}
}

func (s *shard) wake(t time.Time) {
	if !t.IsZero() && (s.next.IsZero() || t.Before(s.next)) {
		s.next = t
	}
}

// tick lets the groups that are due see the time.
func (s *shard) tick(now time.Time) {
	if s.next.IsZero() || s.next.After(now) {
		return
	}
	s.next = time.Time{}
	for _, g := range s.groups {
		if !g.next.IsZero() && !g.next.After(now) {
			g.Tick(now)
			s.after(g)
		}
		s.wake(g.next)
	}
}

// expire removes offsets of groups that have been empty for the retention time,
// and groups of which nothing is left.
func (s *shard) expire(now time.Time) {
	for id, g := range s.groups {
		since, empty := g.EmptySince()
		if !empty || now.Sub(since) < s.cfg.OffsetsRetention {
			continue
		}
		for topic, parts := range g.Offsets() {
			for partition, o := range parts {
				if now.Sub(o.CommitTime) >= s.cfg.OffsetsRetention {
					s.add(offsetTombstone(id, topic, partition))
					g.DeleteOffset(topic, partition)
				}
			}
		}
		if g.Unused() {
			if g.stored {
				s.add(groupTombstone(id))
			}
			delete(s.groups, id)
		}
	}
}

// do runs f in the shard's next round and waits until what it saw and did is durable.
func (s *shard) do(ctx context.Context, f func(now time.Time)) int16 {
	c := command{run: f, done: make(chan settled, 1)}
	select {
	case s.cmds <- c:
	case <-s.quit:
		return errcode.NotCoordinator
	case <-ctx.Done():
		return errcode.NotCoordinator
	}
	select {
	case r := <-c.done:
		return r.settle(ctx)
	case <-s.quit:
		return errcode.NotCoordinator
	}
}

// settle waits for durability and returns the code of what went wrong.
func (r settled) settle(ctx context.Context) int16 {
	if r.code != errcode.None || r.wait == nil {
		return r.code
	}
	select {
	case <-r.wait.Durable():
		if r.wait.Err() != nil {
			return errcode.CoordinatorNotAvailable
		}
		return errcode.None
	case <-ctx.Done():
		return errcode.NotCoordinator
	}
}

// await registers a request that waits, for f to hand to its group as a Ref, and
// returns its effect once that is durable.
func (s *shard) await(ctx context.Context, f func(now time.Time, ref group.Ref)) (group.Effect, int16) {
	ch := make(chan answer, 1)
	c := command{done: make(chan settled, 1), run: func(now time.Time) {
		s.refs++
		s.waiting[s.refs] = ch
		f(now, s.refs)
	}}
	select {
	case s.cmds <- c:
	case <-s.quit:
		return group.Effect{}, errcode.NotCoordinator
	case <-ctx.Done():
		return group.Effect{}, errcode.NotCoordinator
	}
	select {
	case a := <-ch:
		return a.effect, a.settle(ctx)
	case <-ctx.Done():
	case <-s.quit:
	}
	return group.Effect{}, errcode.NotCoordinator
}
