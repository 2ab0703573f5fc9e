package coordinator

import (
	"context"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// Where a power cut takes the ends of logs, each by itself, a partition can be found with
// a transaction open of which the transactions' log has no beginning, or has the end
// already. Nobody would ever write its marker. So the transactions that a partition has
// open when it is opened are checked, each once:
//
//   - the coordinator has it as ongoing, or is about to write its marker: it stays;
//   - the log has its decision, also one with later ones after it: it gets that marker;
//   - else nobody is known to have committed it: it is aborted.
//
// While a partition is being checked nothing of a transaction is written to it, so that
// what is open there is what was found.

// check is a look at what a partition was found with; done is closed at its end.
type check struct{ done chan struct{} }

// opened begins the check of a partition that is being opened; nobody can have written
// to it yet.
func (x *Txns) opened(t *cluster.Topic, index int32, part *partition.Partition) {
	open := part.OpenTxns()
	if len(open) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	c := &check{done: make(chan struct{})}
	x.checks.Store(part, c)
	x.wg.Go(func() {
		defer close(c.done)
		defer x.checks.Delete(part)
		for _, o := range open {
			x.settleLeftover(txn.Partition{Topic: t.Name, Index: index}, part, o)
		}
	})
}

// check returns the check of a partition that is going on, nil without one.
func (x *Txns) check(p txn.Partition) *check {
	topic := x.cluster.Image().Topic(p.Topic)
	if topic == nil {
		return nil
	}
	part, err := x.topics.Get(topic, p.Index)
	if err != nil {
		return nil // whoever appends to it finds out
	}
	if c, ok := x.checks.Load(part); ok {
		return c.(*check)
	}
	return nil
}

// checked waits until no check of the partitions is going on.
func (x *Txns) checked(ctx context.Context, partitions []txn.Partition) int16 {
	for _, p := range partitions {
		c := x.check(p)
		if c == nil {
			continue
		}
		select {
		case <-c.done:
		case <-time.After(x.cfg.Patience):
			return errcode.CoordinatorNotAvailable
		case <-ctx.Done():
			return errcode.CoordinatorNotAvailable
		}
	}
	return errcode.None
}

// settleLeftover ends one transaction that a partition was found with, unless it goes
// on. It tries until it knows, the partition fails, or the broker closes.
func (x *Txns) settleLeftover(p txn.Partition, part *partition.Partition, o commitlog.ProducerInfo) {
	log := x.cfg.Logger.With("topic", p.Topic, "partition", p.Index, "producer_id", o.ProducerID, "epoch", o.Epoch, "offset", o.TxnStartOffset)
	for pause := 10 * time.Millisecond; part.Err() == nil; pause = min(2*pause, time.Second) {
		f, err := x.fate(p, part, o)
		if err == nil && f.goesOn {
			return
		}
		code := errcode.None
		if err == nil {
			m := record.Marker{Commit: f.commit, CoordinatorEpoch: max(f.coordinatorEpoch, o.CoordinatorEpoch)}
			code = x.WriteMarker(x.ctx, p, o.ProducerID, max(f.epoch, o.Epoch), m)
			if code == errcode.None {
				log.Warn("a transaction was found open that its coordinator has no more; it was ended", "commit", f.commit)
				return
			}
		}
		if x.ctx.Err() != nil || final(code) {
			return
		}
		log.Warn("what is to become of an open transaction is not known yet; trying again", "code", code, "err", err)
		select {
		case <-time.After(pause):
		case <-x.ctx.Done():
			return
		}
	}
}

// fate is what becomes of a transaction that a partition was found with: it goes on, or
// it gets a marker.
type fate struct {
	goesOn           bool
	commit           bool
	epoch            int16 // of the marker, where it was decided
	coordinatorEpoch int32
}

// fate asks every transactional id, and then the log of what they decided.
func (x *Txns) fate(p txn.Partition, part *partition.Partition, o commitlog.ProducerInfo) (fate, error) {
	shards, failed := x.all()
	var f fate
	var owner *txn.Txn // has the producer id now
	for i, s := range shards {
		f.coordinatorEpoch = max(f.coordinatorEpoch, s.part.Offsets().LeaderEpoch)
		var found *txn.Txn
		code := s.do(x.ctx, func(time.Time) {
			for _, h := range s.ids {
				if h.now.ProducerID == o.ProducerID {
					found = h.now
				}
			}
		})
		if code != errcode.None {
			failed = code
		} else if found != nil {
			owner, shards, failed = found, shards[i:i+1], errcode.None
			break
		}
	}
	if failed != errcode.None {
		return f, record.Errorf(failed, "not every partition of %s can be read", cluster.TxnTopic)
	}
	known := owner != nil && hasOpen(owner, p, o.Epoch)
	// In version 1 several transactions have the same epoch, so that this may be another
	// one than the coordinator's; but only where logs may have lost their ends.
	if known && (owner.Version >= 2 || !owner.Stale) {
		return fate{goesOn: true}, nil
	}
	x.deciding.Lock() // one log at a time
	defer x.deciding.Unlock()
	var decisions []*txn.Txn
	for _, s := range shards {
		_, err := s.read(func(_ *record.Info, e entry) error {
			_, t, err := parseTxn(e)
			if err == nil && t != nil && t.ProducerID == o.ProducerID && decides(t, o.Epoch) {
				_, in := t.Partitions[p]
				// That the markers are written no longer names partitions, and is all that
				// compaction keeps; by its epoch it is a decision as good.
				complete := t.State == txn.CompleteCommit || t.State == txn.CompleteAbort
				if in && t.State.Prepared() || complete && t.Version >= 2 {
					decisions = append(decisions, t)
				}
			}
			return err
		})
		if err != nil {
			return f, err
		}
	}
	d, err := firstUnmarked(part, o, decisions)
	if err != nil {
		return f, err
	}
	switch {
	case d != nil:
		f.commit, f.epoch = d.State == txn.PrepareCommit || d.State == txn.CompleteCommit, d.Epoch
	case known && owner.State == txn.Ongoing:
		return fate{goesOn: true}, nil
	}
	return f, nil
}

// hasOpen says whether the transaction that a partition has open, with records of the
// epoch, may be the one that t has open or is writing the markers of.
func hasOpen(t *txn.Txn, p txn.Partition, epoch int16) bool {
	if _, in := t.Partitions[p]; !in {
		return false
	}
	return t.State == txn.Ongoing && t.Epoch == epoch || t.State.Prepared() && decides(t, epoch)
}

// decides says whether the decision d may be that of a transaction whose records have
// the epoch.
func decides(d *txn.Txn, epoch int16) bool {
	switch {
	case d.Version >= 2: // the markers have the next epoch
		return d.Epoch-1 == epoch
	case d.State == txn.PrepareCommit:
		return d.Epoch == epoch
	}
	return d.Epoch == epoch || d.Epoch-1 == epoch // the coordinator's own decision raises it
}

// firstUnmarked is the decision, of those that a producer's open transaction may have,
// whose marker the partition does not have; nil without one. In version 2 there is one
// at most. In version 1 it is the first that was taken after the last marker that the
// partition has.
func firstUnmarked(part *partition.Partition, o commitlog.ProducerInfo, decisions []*txn.Txn) (*txn.Txn, error) {
	if len(decisions) == 0 {
		return nil, nil
	}
	if d := decisions[len(decisions)-1]; d.Version >= 2 {
		return d, nil
	}
	marked := int64(-1)
	for next := part.Offsets().LogStart; next < o.TxnStartOffset; {
		r, err := part.Read(next, 1<<20, partition.ReadUncommitted, true)
		if err != nil {
			return nil, err
		}
		if len(r.Records) == 0 {
			break
		}
		record.Each(r.Records, func(batch []byte) bool {
			info, _ := record.ParseHeader(batch) // the log has verified it
			next = info.NextOffset()
			if info.Control() && info.ProducerID == o.ProducerID && info.BaseOffset < o.TxnStartOffset {
				marked = info.MaxTimestamp
			}
			return true
		})
	}
	for _, d := range decisions {
		if d.Updated.UnixMilli() > marked {
			return d, nil
		}
	}
	return nil, nil
}
