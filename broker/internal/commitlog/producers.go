package commitlog

import (
	"maps"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// windowSize is how many batches of a producer are remembered, Kafka's number: a
// client has at most that many in flight.
const windowSize = 5

// Origin says who appends, and with that which rules a batch must keep.
type Origin uint8

// The origins.
const (
	// Client is a producer: one data batch, all checks.
	Client Origin = iota
	// Coordinator is the broker itself: internal topics' records and markers.
	Coordinator
	// Replica is a follower storing its leader's bytes: offsets and epochs are kept.
	Replica
)

// ProducerInfo is what a log remembers of one producer.
type ProducerInfo struct {
	ProducerID       int64
	Epoch            int16
	LastSequence     int32 // -1 when nothing of this epoch was written
	LastTimestamp    int64
	CoordinatorEpoch int32
	TxnStartOffset   int64 // -1 without an open transaction
}

// producer is what the log remembers of one producer id.
//
// Invariant: batches[:n] are its last n batches of this epoch, oldest first.
type producer struct {
	epoch            int16
	coordinatorEpoch int32
	timestamp        int64 // of its last batch, as the batch says
	seen             int64 // when that was appended, by the broker's clock
	txnFirst         int64 // first offset of the open transaction, or -1
	n                int8
	batches          [windowSize]producedBatch
}

type producedBatch struct {
	firstSeq, lastSeq int32
	base, last        int64
	timestamp         int64 // the log append time, or -1
}

func (p *producer) lastSeq() int32 {
	if p.n == 0 {
		return -1
	}
	return p.batches[p.n-1].lastSeq
}

func (p *producer) push(b producedBatch) {
	if p.n == windowSize {
		copy(p.batches[:], p.batches[1:])
		p.n--
	}
	p.batches[p.n] = b
	p.n++
}

// openTxn is a transaction that has begun and not ended.
type openTxn struct {
	pid, first int64
}

// AbortedTxn is an aborted transaction: its producer, its first offset, the offset
// of its marker, and the last stable offset once it had ended.
type AbortedTxn struct {
	ProducerID, First, Last, LastStable int64
}

// producers is the producer state of a log: a pure function of its batches.
//
// now is the time that batches are taken in at. Producers expire by it and not, as
// in Kafka, by the timestamps in their batches: someone who writes old data would
// be forgotten at once.
//
// Invariants: open is ordered by first offset and has exactly the producers whose
// txnFirst is not -1. ended holds transactions whose marker is appended but not yet
// below the high watermark; for the last stable offset they are still open.
type producers struct {
	byID  map[int64]*producer
	open  []openTxn
	ended []AbortedTxn
	now   int64
}

func newProducers(now time.Time) producers {
	return producers{byID: map[int64]*producer{}, now: now.UnixMilli()}
}

// check decides whether a client's batch may be appended. A duplicate returns the
// remembered batch.
func (ps *producers) check(i *record.Info) (dup *producedBatch, err error) {
	p := ps.byID[i.ProducerID]
	if p == nil {
		// Nothing is known: its records may have been deleted, so any sequence goes.
		return nil, nil
	}
	if i.ProducerEpoch < p.epoch {
		return nil, record.Errorf(record.CodeInvalidProducerEpoch, "producer %d has epoch %d, the batch %d", i.ProducerID, p.epoch, i.ProducerEpoch)
	}
	last := i.LastSequence()
	if i.ProducerEpoch == p.epoch {
		for k := range p.batches[:p.n] {
			if b := &p.batches[k]; b.firstSeq == i.BaseSequence && b.lastSeq == last {
				return b, nil
			}
		}
	}
	want := int32(0)
	if i.ProducerEpoch == p.epoch {
		want = record.AddSequence(p.lastSeq(), 1)
	}
	if i.BaseSequence != want {
		return nil, record.Errorf(record.CodeOutOfOrderSequence, "producer %d, epoch %d: sequence %d, expected %d", i.ProducerID, i.ProducerEpoch, i.BaseSequence, want)
	}
	if p.txnFirst >= 0 && !i.Transactional() {
		return nil, record.Errorf(record.CodeInvalidTxnState, "producer %d has a transaction open, the batch is not transactional", i.ProducerID)
	}
	return nil, nil
}

// checkMarker decides whether a transaction marker may be appended.
func (ps *producers) checkMarker(i *record.Info, m record.Marker) error {
	p := ps.byID[i.ProducerID]
	if p == nil {
		return nil
	}
	if i.ProducerEpoch < p.epoch {
		return record.Errorf(record.CodeInvalidProducerEpoch, "producer %d has epoch %d, the marker %d", i.ProducerID, p.epoch, i.ProducerEpoch)
	}
	if m.CoordinatorEpoch < p.coordinatorEpoch {
		return record.Errorf(record.CodeTransactionCoordinatorLost, "a coordinator of epoch %d has written markers, this one has epoch %d", p.coordinatorEpoch, m.CoordinatorEpoch)
	}
	return nil
}

// get returns the producer, made if it is new, at least at epoch.
func (ps *producers) get(pid int64, epoch int16) *producer {
	p := ps.byID[pid]
	if p == nil {
		p = &producer{epoch: epoch, coordinatorEpoch: -1, txnFirst: -1, timestamp: -1}
		ps.byID[pid] = p
	}
	if epoch > p.epoch {
		p.epoch, p.n = epoch, 0
	}
	p.seen = ps.now
	return p
}

// apply takes in a data batch. i has its final offset.
func (ps *producers) apply(i *record.Info) {
	p := ps.get(i.ProducerID, i.ProducerEpoch)
	ts := int64(-1)
	if i.LogAppendTime() {
		ts = i.MaxTimestamp
	}
	if i.BaseSequence >= 0 {
		p.push(producedBatch{firstSeq: i.BaseSequence, lastSeq: i.LastSequence(), base: i.BaseOffset, last: i.LastOffset(), timestamp: ts})
	}
	p.timestamp = i.MaxTimestamp
	if i.Transactional() && p.txnFirst < 0 {
		p.txnFirst = i.BaseOffset
		ps.open = append(ps.open, openTxn{i.ProducerID, i.BaseOffset})
	}
}

// applyMarker takes in a transaction marker. It returns the transaction it ended;
// ok is false when the producer had none open. The last stable offset in the result
// is the one without any high watermark in sight.
func (ps *producers) applyMarker(i *record.Info, m record.Marker) (t AbortedTxn, ok bool) {
	p := ps.get(i.ProducerID, i.ProducerEpoch)
	p.coordinatorEpoch = m.CoordinatorEpoch
	p.timestamp = i.MaxTimestamp
	if p.txnFirst < 0 {
		return t, false
	}
	t = AbortedTxn{ProducerID: i.ProducerID, First: p.txnFirst, Last: i.LastOffset()}
	p.txnFirst = -1
	ps.open = slices.DeleteFunc(ps.open, func(o openTxn) bool { return o.pid == i.ProducerID })
	ps.ended = append(ps.ended, t)
	t.LastStable = i.NextOffset()
	if len(ps.open) > 0 {
		t.LastStable = min(t.LastStable, ps.open[0].first)
	}
	return t, true
}

// release forgets ended transactions whose marker lies below the high watermark.
func (ps *producers) release(highWatermark int64) {
	if len(ps.ended) > 0 {
		ps.ended = slices.DeleteFunc(ps.ended, func(t AbortedTxn) bool { return t.Last < highWatermark })
	}
}

// firstUnstable is the first offset of the earliest transaction that is open, or
// ended but not released; -1 without one.
func (ps *producers) firstUnstable() int64 {
	first := int64(-1)
	if len(ps.open) > 0 {
		first = ps.open[0].first
	}
	for _, t := range ps.ended {
		if first < 0 || t.First < first {
			first = t.First
		}
	}
	return first
}

// expire forgets producers that have been silent since before the time given,
// unless they have a transaction open.
func (ps *producers) expire(before int64) {
	maps.DeleteFunc(ps.byID, func(_ int64, p *producer) bool { return p.txnFirst < 0 && p.seen < before })
}

// infos describes all producers by id.
func (ps *producers) infos() []ProducerInfo {
	out := make([]ProducerInfo, 0, len(ps.byID))
	for _, pid := range slices.Sorted(maps.Keys(ps.byID)) {
		p := ps.byID[pid]
		out = append(out, ProducerInfo{
			ProducerID: pid, Epoch: p.epoch, LastSequence: p.lastSeq(), LastTimestamp: p.timestamp,
			CoordinatorEpoch: p.coordinatorEpoch, TxnStartOffset: p.txnFirst,
		})
	}
	return out
}
