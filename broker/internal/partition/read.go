package partition

import (
	"context"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// AbortedTxn is an aborted transaction that a read_committed reader must skip.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64
}

// ReadResult is what a read found.
type ReadResult struct {
	Records       []byte // whole batches; empty when there is nothing below the limit
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	// Aborted lists, for ReadCommitted, the aborted transactions that overlap
	// Records, by first offset.
	Aborted []AbortedTxn
}

// Read returns whole batches from the one that contains offset on, at most
// maxBytes of them but, with minOne, at least one. It shows nothing at or above
// the high watermark (ReadUncommitted) or the last stable offset (ReadCommitted).
// The marks in the result are valid with an error too. Errors are *record.Error:
// OFFSET_OUT_OF_RANGE below the log start or above the high watermark.
func (p *Partition) Read(offset int64, maxBytes int, iso Isolation, minOne bool) (ReadResult, error) {
	return p.ReadInto(nil, offset, maxBytes, iso, minOne)
}

// ReadInto is Read with a buffer to use for Records if it is large enough.
func (p *Partition) ReadInto(buf []byte, offset int64, maxBytes int, iso Isolation, minOne bool) (ReadResult, error) {
	res, limit, err := p.bounds(offset, iso)
	if err != nil || offset >= limit {
		return res, err
	}
	aborted := askAborted(iso)
	res.Records, _, err = p.log.Read(commitlog.ReadRequest{Offset: offset, Limit: limit, MaxBytes: maxBytes, MinOne: minOne, Buf: buf, Aborted: aborted})
	res.tell(aborted)
	return res, err
}

// Slice is Read for callers that let the kernel send the bytes: it returns where they
// lie, and no Records. It is empty where there are fewer than least bytes; Read may find
// something then. Release it unless it is empty.
func (p *Partition) Slice(offset int64, maxBytes int, iso Isolation, least int64) (commitlog.Slice, ReadResult, error) {
	res, limit, err := p.bounds(offset, iso)
	if err != nil || offset >= limit {
		return commitlog.Slice{}, res, err
	}
	aborted := askAborted(iso)
	s, err := p.log.Slice(commitlog.ReadRequest{Offset: offset, Limit: limit, MaxBytes: maxBytes, Least: least, Aborted: aborted})
	res.tell(aborted)
	return s, res, err
}

// askAborted is where a read puts aborted transactions; nil for readers that take all.
func askAborted(iso Isolation) *[]commitlog.AbortedTxn {
	if iso != ReadCommitted {
		return nil
	}
	return new([]commitlog.AbortedTxn)
}

// tell puts what a read was told into the result.
func (r *ReadResult) tell(aborted *[]commitlog.AbortedTxn) {
	if aborted == nil {
		return
	}
	for _, t := range *aborted {
		r.Aborted = append(r.Aborted, AbortedTxn{ProducerID: t.ProducerID, FirstOffset: t.First})
	}
}

// bounds returns the marks and the offset below which iso may read.
func (p *Partition) bounds(offset int64, iso Isolation) (ReadResult, int64, error) {
	p.log.Lock()
	defer p.log.Unlock()
	res := ReadResult{HighWatermark: p.highWatermark, LastStable: p.lastStable, LogStart: p.log.Start()}
	if err := p.log.Stopped(); err != nil {
		return res, 0, err
	}
	if offset < res.LogStart || offset > res.HighWatermark {
		return res, 0, record.Errorf(record.CodeOffsetOutOfRange, "offset %d lies outside the log, [%d, %d]", offset, res.LogStart, res.HighWatermark)
	}
	if iso == ReadCommitted {
		return res, res.LastStable, nil
	}
	return res, res.HighWatermark, nil
}

// OffsetForTime returns the first record below the high watermark whose timestamp
// is at least ts. None: offset, timestamp and epoch are -1.
func (p *Partition) OffsetForTime(ts int64) (offset, timestamp int64, epoch int32, err error) {
	return found(p.log.OffsetForTime(ts, p.Offsets().HighWatermark))
}

// MaxTimestamp returns the record below the high watermark with the largest
// timestamp, the first of them. An empty log: -1, -1, -1.
func (p *Partition) MaxTimestamp() (offset, timestamp int64, epoch int32, err error) {
	return found(p.log.MaxTimestamp(p.Offsets().HighWatermark))
}

func found(f commitlog.Found, ok bool, err error) (offset, timestamp int64, epoch int32, _ error) {
	if !ok || err != nil {
		return -1, -1, -1, err
	}
	return f.Offset, f.Timestamp, f.Epoch, nil
}

// OpenTxn returns whether the producer has a transaction open in this partition.
func (p *Partition) OpenTxn(producerID int64) bool {
	p.log.Lock()
	defer p.log.Unlock()
	return p.log.OpenTxn(producerID) >= 0
}

// CheckMarker says why a transaction's marker would be refused now, nil where it would not.
func (p *Partition) CheckMarker(producerID int64, epoch int16, m record.Marker) error {
	p.log.Lock()
	defer p.log.Unlock()
	return p.log.CheckMarker(producerID, epoch, m)
}

// OpenTxns describes the producers that have a transaction open in this partition, also
// where its records are still on their way to the disk.
func (p *Partition) OpenTxns() []commitlog.ProducerInfo {
	p.log.Lock()
	defer p.log.Unlock()
	return slices.DeleteFunc(p.log.Producers(), func(i commitlog.ProducerInfo) bool { return i.TxnStartOffset < 0 })
}

// Producers describes the producers that the partition remembers (DescribeProducers). It
// returns once the high watermark has passed all that it tells of.
func (p *Partition) Producers(ctx context.Context) ([]commitlog.ProducerInfo, error) {
	for {
		infos, last, err := p.stagedProducers()
		if last == nil || err != nil {
			return infos, err
		}
		select {
		case <-last.Durable():
			if last.Err() == nil {
				return infos, nil
			}
			// What was told of is gone: look again.
		case <-ctx.Done():
			return nil, record.Errorf(record.CodeRequestTimedOut, "what producers have written is not durable yet")
		}
	}
}

// stagedProducers describes the producers with all that was staged, the last of it last.
func (p *Partition) stagedProducers() (infos []commitlog.ProducerInfo, last *Pending, err error) {
	p.log.Lock()
	defer p.log.Unlock()
	if err := p.log.Stopped(); err != nil {
		return nil, nil, err
	}
	return p.log.Producers(), p.newest(), nil
}
