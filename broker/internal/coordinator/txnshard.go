package coordinator

import (
	"errors"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
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

// writeMarkers ends the transaction in every partition of it. It tries again where
// a partition fails, and gives up only when the broker closes.
func (x *Txns) writeMarkers(t *txn.Txn, coordinatorEpoch int32) bool {
	marker := record.Marker{Commit: t.State == txn.PrepareCommit, CoordinatorEpoch: coordinatorEpoch}
	left := t.Sorted()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var again []txn.Partition
		var staged []*partition.Pending
		var parts []txn.Partition
		for _, p := range left {
			marker := x.decision(p, t, marker)
			if p.Topic == cluster.OffsetsTopic {
				code := x.groups.endTxn(x.ctx, p.Index, t.ProducerID, t.Epoch, marker)
				if x.ctx.Err() != nil {
					return false
				}
				if code != errcode.None && !final(code) {
					again = append(again, p)
				}
				continue
			}
			pending, err := x.marker(p, t, marker)
			switch {
			case err == nil && pending != nil:
				staged, parts = append(staged, pending), append(parts, p)
			case err != nil:
				x.cfg.Logger.Warn("a transaction's marker could not be written; trying again", "transactional_id", t.ID, "topic", p.Topic, "partition", p.Index, "err", err)
				again = append(again, p)
			}
		}
		for i, pending := range staged {
			select {
			case <-pending.Durable():
				if pending.Err() != nil {
					again = append(again, parts[i])
				}
			case <-x.ctx.Done():
				return false
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

// decision is the marker for one partition. Where the ends of logs may be lost, each by
// itself, the transaction that is open in the partition need not be the one that was
// decided: it may be a later one, of which the transactions' log knows nothing, or an
// earlier one, whose marker the partition has lost. In version 2 each transaction has
// an epoch of its own, one below its marker's. Another one's records are aborted:
// nobody is known to have committed them.
func (x *Txns) decision(p txn.Partition, t *txn.Txn, m record.Marker) record.Marker {
	topic := x.cluster.Image().Topic(p.Topic)
	if !t.Stale || !m.Commit || t.Version < 2 || topic == nil {
		return m
	}
	if part, err := x.topics.Get(topic, p.Index); err == nil {
		if epoch, open := part.OpenTxnEpoch(t.ProducerID); open && epoch != t.Epoch-1 {
			m.Commit = false
		}
	}
	return m
}

// marker stages the marker in one partition. Nothing is staged, without an error,
// where there is no such partition any more, or a later epoch has ended the
// transaction there already.
func (x *Txns) marker(p txn.Partition, t *txn.Txn, m record.Marker) (*partition.Pending, error) {
	topic := x.cluster.Image().Topic(p.Topic)
	if topic == nil || p.Index >= topic.Partitions() {
		return nil, nil
	}
	part, err := x.topics.Get(topic, p.Index)
	if err == nil {
		var pending *partition.Pending
		pending, err = part.Append(record.EndTxn(t.ProducerID, t.Epoch, m, x.cfg.Now().UnixMilli()), partition.Coordinator)
		if err == nil {
			return pending, nil
		}
	}
	var coded *record.Error
	if errors.As(err, &coded) && final(coded.Code) {
		return nil, nil
	}
	return nil, err
}

// final says whether a marker's refusal will never change.
func final(code int16) bool {
	switch code {
	case errcode.UnknownTopicOrPartition, errcode.InvalidProducerEpoch, errcode.TransactionCoordinatorFenced:
		return true
	}
	return false
}
