package coordinator

import (
	"context"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// answer is an effect with what must be durable before it is given.
type answer struct {
	effect group.Effect
	settled
}

// shard is the machine that keeps the groups of one partition of the offsets topic.
type shard struct {
	*loop
	cfg *Config

	groups  map[string]*held
	refs    group.Ref
	waiting map[group.Ref]chan answer
	effects []group.Effect // of the round in progress
	due     time.Time      // when a group wants Tick

	// uncommitted has, by producer, the offsets of transactions that are open.
	uncommitted map[int64]map[heldKey]group.Offset
}

// held is a group with what the shard knows about it.
type held struct {
	*group.Group
	next   time.Time
	stored bool // there is a record of the group in the log
	open   int  // offsets of open transactions
}

type heldKey struct {
	group string
	TopicPartition
}

func newShard(l *loop, cfg *Config) *shard {
	s := &shard{loop: l, cfg: cfg, waiting: map[group.Ref]chan answer{}}
	l.machine = s
	return s
}

func (s *shard) reset() {
	s.groups, s.uncommitted = map[string]*held{}, map[int64]map[heldKey]group.Offset{}
	s.effects, s.due = nil, time.Time{}
}

func (s *shard) ready(time.Time) {
	for _, g := range s.groups {
		g.next = g.Next()
		s.wake(g.next)
	}
}

func (s *shard) finish(with settled) {
	for _, e := range s.effects {
		if ch := s.waiting[e.Ref]; ch != nil {
			delete(s.waiting, e.Ref)
			ch <- answer{effect: e, settled: with}
		}
	}
	s.effects = nil
}

func (s *shard) abandon(code int16) {
	for ref, ch := range s.waiting {
		ch <- answer{settled: settled{code: code}}
		delete(s.waiting, ref)
	}
}

func (s *shard) replay(info *record.Info, e entry, now time.Time) error {
	if info.Control() {
		if commit, ok := markerType(e); ok {
			s.endTxn(info.ProducerID, commit)
		}
		return nil
	}
	c, ok, err := parse(e)
	if err != nil || !ok {
		return err
	}
	g := s.groups[c.group]
	if g == nil {
		if (c.isOffset && c.offset == nil) || (!c.isOffset && c.snapshot == nil) {
			return nil
		}
		g = s.create(c.group, now)
	}
	switch {
	case c.isOffset && c.offset != nil && info.Transactional():
		s.hold(info.ProducerID, g, TopicPartition{c.topic, c.partition}, *c.offset)
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
	s.sweep(g)
	return nil
}

// markerType reads the control record that ends a transaction.
func markerType(e entry) (commit, ok bool) {
	if len(e.key) < 4 || e.key[2] != 0 || e.key[3] > 1 {
		return false, false
	}
	return e.key[3] == 1, true
}

// hold keeps an offset until its transaction ends.
func (s *shard) hold(producerID int64, g *held, tp TopicPartition, o group.Offset) {
	offsets := s.uncommitted[producerID]
	if offsets == nil {
		offsets = map[heldKey]group.Offset{}
		s.uncommitted[producerID] = offsets
	}
	key := heldKey{g.ID, tp}
	if _, again := offsets[key]; !again {
		g.open++
	}
	offsets[key] = o
}

// endTxn commits or drops the offsets that a producer's transaction holds.
func (s *shard) endTxn(producerID int64, commit bool) {
	for key, o := range s.uncommitted[producerID] {
		g := s.groups[key.group]
		if g == nil {
			continue // the group was deleted meanwhile
		}
		g.open--
		if commit {
			g.SetOffset(key.Topic, key.Partition, o)
		}
		s.sweep(g)
	}
	delete(s.uncommitted, producerID)
}

// unstable says whether an open transaction holds an offset of the partition.
func (s *shard) unstable(g *held, tp TopicPartition) bool {
	if g.open > 0 {
		for _, offsets := range s.uncommitted {
			if _, ok := offsets[heldKey{g.ID, tp}]; ok {
				return true
			}
		}
	}
	return false
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

// sweep forgets a group of which nothing is left, here or in the log.
func (s *shard) sweep(g *held) {
	if g.Unused() && !g.stored && g.open == 0 && s.groups[g.ID] == g {
		delete(s.groups, g.ID)
	}
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
	s.sweep(g)
}

func (s *shard) wake(t time.Time) {
	if !t.IsZero() && (s.due.IsZero() || t.Before(s.due)) {
		s.due = t
	}
}

func (s *shard) next() time.Time { return s.due }

// tick lets the groups that are due see the time.
func (s *shard) tick(now time.Time) {
	s.due = time.Time{}
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
				if now.Sub(o.CommitTime) >= s.cfg.OffsetsRetention && !s.unstable(g, TopicPartition{topic, partition}) {
					s.add(offsetTombstone(id, topic, partition))
					g.DeleteOffset(topic, partition)
				}
			}
		}
		if g.Unused() && g.open == 0 {
			if g.stored {
				s.add(groupTombstone(id))
			}
			delete(s.groups, id)
		}
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
	for {
		select {
		case a := <-ch:
			return a.effect, a.settle(ctx)
		case r := <-c.done:
			if r.code != errcode.None { // the step was never taken, or for nothing
				return group.Effect{}, r.code
			}
			c.done = nil
		case <-ctx.Done():
			return group.Effect{}, errcode.NotCoordinator
		case <-s.quit:
			return group.Effect{}, errcode.NotCoordinator
		}
	}
}
