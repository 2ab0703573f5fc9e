package coordinator

import (
	"context"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
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
	// world is what a consumer group sees of the cluster now.
	world func(now time.Time, groupID string) consumergroup.World

	groups  map[string]*held
	refs    group.Ref
	waiting map[group.Ref]chan answer
	effects []group.Effect // of the round in progress
	due     time.Time      // when a group wants Tick

	// uncommitted has, by producer, the offsets of transactions that are open.
	uncommitted map[int64]map[heldKey]group.Offset
}

// held is a group, of one protocol or the other, with what the shard knows about it.
type held struct {
	id      string
	classic *group.Group // also where there are only offsets; nil where consumer is set
	// consumer is set while the group is one of the consumer protocol.
	consumer *consumergroup.Group
	offsets  group.Offsets
	next     time.Time // when it wants its tick
	stored   bool      // there is a record of the classic group in the log
	open     int       // offsets of open transactions
	commits  int64     // offsets committed since it was loaded
}

// due returns when the group wants its tick.
func (h *held) due() time.Time {
	if h.consumer != nil {
		return h.consumer.Next()
	}
	return h.classic.Next()
}

// empty says whether the group has no members.
func (h *held) empty() bool {
	if h.consumer != nil {
		return h.consumer.Len() == 0
	}
	return h.classic.State() == group.Empty
}

type heldKey struct {
	group string
	TopicPartition
}

func newShard(l *loop, cfg *Config, world func(time.Time, string) consumergroup.World) *shard {
	s := &shard{loop: l, cfg: cfg, world: world, waiting: map[group.Ref]chan answer{}}
	l.machine = s
	return s
}

func (s *shard) reset() {
	s.groups, s.uncommitted = map[string]*held{}, map[int64]map[heldKey]group.Offset{}
	s.effects, s.due = nil, time.Time{}
}

func (s *shard) ready(now time.Time) {
	for _, g := range s.groups {
		if g.consumer != nil {
			g.consumer.Restored(s.world(now, g.id))
		}
		g.next = g.due()
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
		if c.tombstone {
			return nil
		}
		g = s.create(c.group, now)
	}
	switch {
	case c.kind == offsetRecord && c.tombstone:
		g.offsets.Delete(c.topic, c.partition)
	case c.kind == offsetRecord && info.Transactional():
		s.hold(info.ProducerID, g, TopicPartition{c.topic, c.partition}, c.offset)
	case c.kind == offsetRecord:
		g.offsets.Set(c.topic, c.partition, c.offset)
	case c.kind == classicRecord:
		s.replayClassic(g, c, now)
	case c.kind == consumerRecord:
		if err := s.replayConsumer(g, c, now); err != nil {
			return err
		}
	}
	s.sweep(g)
	return nil
}

func (s *shard) replayClassic(g *held, c change, now time.Time) {
	switch {
	case !c.tombstone:
		if g.consumer != nil {
			g.consumer, g.classic = nil, group.New(g.id, &s.cfg.Group, now)
		}
		g.classic.Restore(now, c.snapshot)
		g.stored = true
	case g.consumer == nil: // else it became a consumer group, and ended as a classic one
		g.classic.Restore(now, group.Snapshot{Since: now})
		g.stored = false
	}
}

func (s *shard) replayConsumer(g *held, c change, now time.Time) error {
	switch {
	case !c.tombstone:
		if g.consumer == nil {
			g.consumer, g.classic = consumergroup.New(g.id, &s.cfg.Consumer), nil
		}
		return c.restore(g.consumer)
	case g.consumer == nil: // ended as a consumer group, it is a classic one
	case c.change.Kind == consumergroup.GroupEpoch:
		g.consumer, g.classic = nil, group.New(g.id, &s.cfg.Group, now)
	default:
		g.consumer.Forget(c.change)
	}
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
	key := heldKey{g.id, tp}
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
			g.offsets.Set(key.Topic, key.Partition, o)
		}
		s.sweep(g)
	}
	delete(s.uncommitted, producerID)
}

// unstable says whether an open transaction holds an offset of the partition.
func (s *shard) unstable(g *held, tp TopicPartition) bool {
	if g.open > 0 {
		for _, offsets := range s.uncommitted {
			if _, ok := offsets[heldKey{g.id, tp}]; ok {
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
		g = &held{id: id, classic: group.New(id, &s.cfg.Group, now), offsets: group.Offsets{}}
		s.groups[id] = g
	}
	return g
}

// sweep forgets a group of which nothing is left, here or in the log.
func (s *shard) sweep(g *held) {
	if g.consumer == nil && g.classic.Unused() && len(g.offsets) == 0 && !g.stored && g.open == 0 && s.groups[g.id] == g {
		delete(s.groups, g.id)
	}
}

// after collects what a step of g left behind.
func (s *shard) after(g *held, now time.Time) {
	if g.consumer != nil {
		s.write(g.consumer)
		if g.consumer.Downgrades() {
			s.downgrade(g, now)
		}
	}
	if g.consumer == nil {
		effects, dirty := g.classic.TakeEffects()
		if dirty {
			s.add(groupEntry(g.classic))
			g.stored = true
		}
		s.effects = append(s.effects, effects...)
	}
	g.next = g.due()
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
			if g.consumer != nil {
				for _, id := range g.consumer.Tick(s.world(now, g.id)) {
					s.log.Info("a member was not heard of in time and is removed from its group", "group", g.id, "member", id)
				}
			} else {
				g.classic.Tick(now)
			}
			s.after(g, now)
		}
		s.wake(g.next)
	}
}

// expire removes offsets of groups that have been empty for the retention time,
// and groups of which nothing is left.
func (s *shard) expire(now time.Time) {
	for id, g := range s.groups {
		if !g.empty() {
			continue
		}
		if g.consumer == nil {
			if since, _ := g.classic.EmptySince(); now.Sub(since) < s.cfg.OffsetsRetention {
				continue
			}
		}
		for topic, parts := range g.offsets {
			for partition, o := range parts {
				if now.Sub(o.CommitTime) >= s.cfg.OffsetsRetention && !s.unstable(g, TopicPartition{topic, partition}) {
					s.add(offsetTombstone(id, topic, partition))
					g.offsets.Delete(topic, partition)
				}
			}
		}
		if len(g.offsets) == 0 && g.open == 0 && (g.consumer != nil || g.classic.Unused()) {
			s.erase(g)
			delete(s.groups, id)
		}
	}
}

// erase writes that a group is no more, its offsets aside.
func (s *shard) erase(g *held) {
	if g.consumer != nil {
		s.write(g.consumer)
		for _, c := range g.consumer.Everything() {
			s.add(consumerTombstone(g.id, c))
		}
	} else if g.stored {
		s.add(groupTombstone(g.id))
	}
	g.stored = false
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
