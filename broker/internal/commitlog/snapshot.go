package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"
)

// A producer snapshot is the producer state of all batches below the offset in its
// name, <offset>.producers: version, CRC32C of the rest, count, producers. It holds
// the whole window of each producer, so that a duplicate is known after a restart
// (Kafka's own .snapshot keeps one batch).
const (
	snapshotVersion = 1
	snapshotHeader  = 2 + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errSnapshot = errors.New("producer snapshot is damaged")

// encode returns the state as a snapshot.
func (ps *producers) encode() []byte {
	be := binary.BigEndian
	b := make([]byte, snapshotHeader, snapshotHeader+len(ps.byID)*(48+32*windowSize))
	be.PutUint16(b, snapshotVersion)
	be.PutUint32(b[6:], uint32(len(ps.byID)))
	for _, pid := range slices.Sorted(maps.Keys(ps.byID)) {
		p := ps.byID[pid]
		b = be.AppendUint64(b, uint64(pid))
		b = be.AppendUint16(b, uint16(p.epoch))
		b = be.AppendUint32(b, uint32(p.coordinatorEpoch))
		b = be.AppendUint64(b, uint64(p.timestamp))
		b = be.AppendUint64(b, uint64(p.seen))
		b = be.AppendUint64(b, uint64(p.txnFirst))
		b = append(b, byte(p.n))
		for _, w := range p.batches[:p.n] {
			b = be.AppendUint32(b, uint32(w.firstSeq))
			b = be.AppendUint32(b, uint32(w.lastSeq))
			b = be.AppendUint64(b, uint64(w.base))
			b = be.AppendUint64(b, uint64(w.last))
			b = be.AppendUint64(b, uint64(w.timestamp))
		}
	}
	be.PutUint32(b[2:], crc32.Checksum(b[6:], castagnoli))
	return b
}

// decodeProducers reads a snapshot. Transactions that had ended when it was taken
// are not in it: their markers are below its offset, and what recovery keeps is
// stable.
func decodeProducers(b []byte, now time.Time) (producers, error) {
	ps := newProducers(now)
	be := binary.BigEndian
	if len(b) < snapshotHeader || be.Uint16(b) != snapshotVersion || crc32.Checksum(b[6:], castagnoli) != be.Uint32(b[2:]) {
		return ps, errSnapshot
	}
	count := be.Uint32(b[6:])
	b = b[snapshotHeader:]
	for range count {
		const fixed, batch = 8 + 2 + 4 + 8 + 8 + 8 + 1, 4 + 4 + 8 + 8 + 8
		if len(b) < fixed {
			return ps, errSnapshot
		}
		pid := int64(be.Uint64(b))
		p := &producer{
			epoch: int16(be.Uint16(b[8:])), coordinatorEpoch: int32(be.Uint32(b[10:])), timestamp: int64(be.Uint64(b[14:])),
			seen: int64(be.Uint64(b[22:])), txnFirst: int64(be.Uint64(b[30:])), n: int8(b[38]),
		}
		b = b[fixed:]
		if p.n < 0 || p.n > windowSize || len(b) < int(p.n)*batch {
			return ps, errSnapshot
		}
		for i := range p.n {
			p.batches[i] = producedBatch{
				firstSeq: int32(be.Uint32(b)), lastSeq: int32(be.Uint32(b[4:])), base: int64(be.Uint64(b[8:])),
				last: int64(be.Uint64(b[16:])), timestamp: int64(be.Uint64(b[24:])),
			}
			b = b[batch:]
		}
		ps.byID[pid] = p
		if p.txnFirst >= 0 {
			ps.open = append(ps.open, openTxn{pid, p.txnFirst})
		}
	}
	if len(b) != 0 {
		return ps, fmt.Errorf("%w: %d bytes too many", errSnapshot, len(b))
	}
	slices.SortFunc(ps.open, func(x, y openTxn) int { return int(min(1, max(-1, x.first-y.first))) })
	return ps, nil
}
