package record

import "encoding/binary"

// Marker is the end of a transaction as a control record says it.
type Marker struct {
	Commit           bool
	CoordinatorEpoch int32
}

// Control record types.
const (
	controlAbort  int16 = 0
	controlCommit int16 = 1
)

// EndTxn builds the control batch that ends a producer's transaction in one
// partition: one record, key = version and type, value = version and the epoch of
// the coordinator that decided.
func EndTxn(producerID int64, producerEpoch int16, m Marker, timestamp int64) []byte {
	typ := controlAbort
	if m.Commit {
		typ = controlCommit
	}
	key := binary.BigEndian.AppendUint16(nil, 0)
	key = binary.BigEndian.AppendUint16(key, uint16(typ))
	value := binary.BigEndian.AppendUint16(nil, 0)
	value = binary.BigEndian.AppendUint32(value, uint32(m.CoordinatorEpoch))
	b := NewBuilder(Options{
		Idempotent: true, ProducerID: producerID, ProducerEpoch: producerEpoch, BaseSequence: -1,
		Transactional: true, Control: true,
	})
	b.Add(Record{Timestamp: timestamp, Key: key, Value: value})
	return b.Batch()
}

// ParseMarker reads the marker in a control batch. ok is false for control batches
// of other types, which carry no transaction's end.
func ParseMarker(b []byte) (m Marker, ok bool, err error) {
	var r Reader
	if err := r.Reset(b, 4096); err != nil {
		return m, false, err
	}
	var rec Record
	if !r.Next(&rec) {
		if r.Err() != nil {
			return m, false, r.Err()
		}
		return m, false, nil // compaction emptied it
	}
	if len(rec.Key) < 4 {
		return m, false, Errorf(CodeInvalidRecord, "control record has a key of %d bytes", len(rec.Key))
	}
	switch int16(binary.BigEndian.Uint16(rec.Key[2:])) {
	case controlAbort:
	case controlCommit:
		m.Commit = true
	default:
		return m, false, nil
	}
	if len(rec.Value) < 6 {
		return m, false, Errorf(CodeInvalidRecord, "transaction marker has a value of %d bytes", len(rec.Value))
	}
	m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(rec.Value[2:]))
	return m, true, nil
}
