package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/topics"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// txnShard is the machine that keeps the transactional ids of one partition of the
// transaction topic.
type txnShard struct {
	*loop
	txns *Txns

	ids     map[string]*tracked
	changed []*tracked // in the round in progress
	due     time.Time

	published sync.Map // id to *tracked, for those who write
}

// tracked is a transactional id: as the shard's goroutine has it, and as those
// who write to partitions see it.
//
// Who writes holds mu for reading from its check until its batches are staged;
// who publishes a change holds it for writing. So once a decision is published no
// batch of the transaction is staged any more, and its markers come behind all.
type tracked struct {
	now *txn.Txn // the shard's; replaced, never changed

	mu      sync.RWMutex
	seen    *txn.Txn           // what is published; nil once the shard has forgotten it
	wait    *partition.Pending // what must be durable before seen may be relied on
	changed chan struct{}      // closed when seen is replaced
}

func newTxnShard(l *loop, txns *Txns) *txnShard {
	s := &txnShard{loop: l, txns: txns}
	l.machine = s
	return s
}

func (s *txnShard) reset() {
	for _, h := range s.ids {
		s.hide(h)
	}
	s.ids, s.changed, s.due = map[string]*tracked{}, nil, time.Time{}
}

// publish shows an id as it is now to those who write.
func (s *txnShard) publish(h *tracked, wait *partition.Pending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen, h.wait = h.now, wait
	close(h.changed)
	h.changed = make(chan struct{})
	s.published.Store(h.now.ID, h)
}

// hide takes an id away from those who write.
func (s *txnShard) hide(h *tracked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = nil
	s.published.CompareAndDelete(h.now.ID, h)
}

func (s *txnShard) replay(_ *record.Info, e entry, _ time.Time) error {
	id, t, err := parseTxn(e)
	if err != nil {
		return err
	}
	if t == nil {
		delete(s.ids, id)
		return nil
	}
	t.Stale = s.txns.cfg.Unsynced
	s.ids[id] = &tracked{now: t, changed: make(chan struct{})}
	return nil
}

// ready publishes what was loaded, and goes on with the decisions whose markers
// may not all have been written.
func (s *txnShard) ready(time.Time) {
	for _, h := range s.ids {
		s.publish(h, nil)
		s.wakeFor(h.now)
		if h.now.State.Prepared() {
			s.complete(h, settled{})
		}
	}
}

// find returns a transactional id, or nil.
func (s *txnShard) find(id string) *tracked { return s.ids[id] }

// keep stores a changed transaction.
func (s *txnShard) keep(h *tracked, t *txn.Txn) {
	h.now = t
	s.ids[t.ID] = h
	s.add(txnEntry(t))
	s.changed = append(s.changed, h)
	s.wakeFor(t)
}

func (s *txnShard) wakeFor(t *txn.Txn) {
	if t.State == txn.Ongoing {
		if at := t.Started.Add(t.Timeout); s.due.IsZero() || at.Before(s.due) {
			s.due = at
		}
	}
}

func (s *txnShard) finish(with settled) {
	for _, h := range s.changed {
		if with.code != errcode.None {
			continue // everything is loaded again
		}
		s.publish(h, with.wait)
		if h.now.State.Prepared() {
			s.complete(h, with)
		}
	}
	s.changed = nil
}

func (s *txnShard) abandon(int16) {
	// Who waits for a change of a transaction looks again by itself.
}

func (s *txnShard) next() time.Time { return s.due }

// tick aborts the transactions whose time is over.
func (s *txnShard) tick(now time.Time) {
	s.due = time.Time{}
	for _, h := range s.ids {
		t := h.now.Clone()
		if t.Tick(now).Write {
			s.log.Info("transaction aborted: its timeout is over", "transactional_id", t.ID, "timeout", t.Timeout)
			s.keep(h, t)
		}
		s.wakeFor(h.now)
	}
}

// expire forgets ids that were not used for long.
func (s *txnShard) expire(now time.Time) {
	for id, h := range s.ids {
		if h.now.Expired(now, s.txns.cfg.IDExpiration) {
			s.add(txnTombstone(id))
			s.hide(h)
			delete(s.ids, id)
		}
	}
}

// complete writes the markers of a decided transaction and then says so in the
// log. It does not return before the decision is on its way in a goroutine.
func (s *txnShard) complete(h *tracked, decided settled) {
	t := h.now
	s.txns.wg.Go(func() {
		if decided.settle(s.txns.ctx) != errcode.None {
			return // the state is loaded again, or the broker is closing
		}
		if !s.txns.writeMarkers(t, s.part.Offsets().LeaderEpoch) {
			return
		}
		s.do(s.txns.ctx, func(now time.Time) {
			if h.now != t || s.ids[t.ID] != h {
				return // loaded again meanwhile: whoever did it completes it
			}
			done := t.Clone()
			if done.Complete(now).Write {
				s.keep(h, done)
			}
		})
	})
}

// writeMarkers ends the transaction in every partition of it. All markers are staged
// before any is waited for, so that they share a round of commits. It tries again where
// a partition fails, and gives up only when the broker closes.
func (x *Txns) writeMarkers(t *txn.Txn, coordinatorEpoch int32) bool {
	m := record.Marker{Commit: t.State == txn.PrepareCommit, CoordinatorEpoch: coordinatorEpoch}
	left := t.Sorted()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		type stagedMarker struct {
			p txn.Partition
			settled
		}
		var staged []stagedMarker
		var again []txn.Partition
		for _, offsets := range []bool{false, true} { // those that wait for a shard's goroutine go last
			for _, p := range left {
				switch {
				case offsets != (p.Topic == cluster.OffsetsTopic):
				case x.check(p) != nil: // what is open there may not be this transaction
					again = append(again, p)
				default:
					staged = append(staged, stagedMarker{p, x.stageMarker(x.ctx, p, t.ProducerID, t.Epoch, m)})
				}
			}
		}
		for _, s := range staged {
			code := s.settle(x.ctx)
			if x.ctx.Err() != nil {
				return false
			}
			if code != errcode.None && !final(code) {
				x.cfg.Logger.Warn("a transaction's marker could not be written; trying again", "transactional_id", t.ID, "topic", s.p.Topic, "partition", s.p.Index, "code", code)
				again = append(again, s.p)
			}
		}
		if left = again; len(left) == 0 {
			return true
		}
		select {
		case <-time.After(pause):
		case <-x.ctx.Done():
			return false
		}
	}
}

// stageMarker appends the marker that ends a producer's transaction in one partition.
func (x *Txns) stageMarker(ctx context.Context, p txn.Partition, producerID int64, epoch int16, m record.Marker) settled {
	if p.Topic == cluster.OffsetsTopic {
		return x.groups.endTxn(ctx, p.Index, producerID, epoch, m)
	}
	topic := x.cluster.Image().Topic(p.Topic)
	if topic == nil {
		return settled{code: errcode.UnknownTopicOrPartition}
	}
	part, err := x.topics.Get(topic, p.Index)
	var pending *partition.Pending
	if err == nil {
		pending, err = part.Append(record.EndTxn(producerID, epoch, m, x.cfg.Now().UnixMilli()), partition.Coordinator)
	}
	if err == nil {
		return settled{wait: pending}
	}
	if code, ok := topics.Code(err); ok {
		return settled{code: code}
	}
	return settled{code: errcode.UnknownServerError}
}

// final says whether a marker's refusal will never change.
func final(code int16) bool {
	switch code {
	case errcode.UnknownTopicOrPartition, errcode.InvalidProducerEpoch, errcode.TransactionCoordinatorFenced:
		return true
	}
	return false
}
