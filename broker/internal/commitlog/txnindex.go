package commitlog

import (
	"encoding/binary"
	"fmt"
)

// The transaction index lists a segment's aborted transactions, by marker, in
// Kafka's .txnindex format: version, producer id, first offset, last offset, last
// stable offset.
const txnEntrySize = 2 + 4*8

func encodeTxns(txns []AbortedTxn) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, len(txns)*txnEntrySize)
	for _, t := range txns {
		b = be.AppendUint16(b, 0)
		b = be.AppendUint64(b, uint64(t.ProducerID))
		b = be.AppendUint64(b, uint64(t.First))
		b = be.AppendUint64(b, uint64(t.Last))
		b = be.AppendUint64(b, uint64(t.LastStable))
	}
	return b
}

func decodeTxns(b []byte) ([]AbortedTxn, error) {
	if len(b)%txnEntrySize != 0 {
		return nil, fmt.Errorf("transaction index has %d bytes", len(b))
	}
	be := binary.BigEndian
	var txns []AbortedTxn
	for ; len(b) > 0; b = b[txnEntrySize:] {
		if v := be.Uint16(b); v != 0 {
			return nil, fmt.Errorf("transaction index has version %d", v)
		}
		txns = append(txns, AbortedTxn{
			ProducerID: int64(be.Uint64(b[2:])), First: int64(be.Uint64(b[10:])),
			Last: int64(be.Uint64(b[18:])), LastStable: int64(be.Uint64(b[26:])),
		})
	}
	return txns, nil
}
