package coordinator

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/txn"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// The records of __transaction_state, in Kafka's format: version 1 of the value
// where the client speaks transactions of version 2, else 0.

func txnEntry(t *txn.Txn) entry {
	k := kmsg.TxnMetadataKey{Version: 0, TransactionalID: t.ID}
	v := kmsg.NewTxnMetadataValue()
	if t.Version >= 2 || t.PrevProducerID >= 0 || t.NextProducerID >= 0 {
		v.Version = 1
	}
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis = t.ProducerID, t.Epoch, int32(t.Timeout.Milliseconds())
	v.State = kmsg.TransactionState(t.State)
	v.PreviousProducerID, v.NextProducerID, v.ClientTransactionVersion = t.PrevProducerID, t.NextProducerID, t.Version
	v.LastUpdateTimestamp, v.StartTimestamp = millisOf(t.Updated), millisOf(t.Started)
	for _, p := range t.Sorted() {
		n := len(v.Topics)
		if n == 0 || v.Topics[n-1].Topic != p.Topic {
			v.Topics = append(v.Topics, kmsg.TxnMetadataValueTopic{Topic: p.Topic})
			n++
		}
		v.Topics[n-1].Partitions = append(v.Topics[n-1].Partitions, p.Index)
	}
	return entry{key: k.AppendTo(nil), value: v.AppendTo(nil)}
}

func txnTombstone(id string) entry {
	k := kmsg.TxnMetadataKey{Version: 0, TransactionalID: id}
	return entry{key: k.AppendTo(nil)}
}

// parseTxn reads a record; t is nil where the id was forgotten.
func parseTxn(e entry) (id string, t *txn.Txn, err error) {
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(e.key); err != nil {
		return "", nil, err
	}
	if e.value == nil {
		return k.TransactionalID, nil, nil
	}
	n, ok := plausibleTxn(e.value)
	if !ok {
		return "", nil, errCorrupt
	}
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(e.value); err != nil {
		return "", nil, err
	}
	if v.State < 0 || txn.State(v.State) > txn.CompleteAbort {
		return "", nil, errCorrupt
	}
	t = txn.New(k.TransactionalID)
	t.ProducerID, t.Epoch, t.State = v.ProducerID, v.ProducerEpoch, txn.State(v.State)
	t.Timeout = time.Duration(v.TimeoutMillis) * time.Millisecond
	t.PrevProducerID, t.NextProducerID, t.Version = v.PreviousProducerID, v.NextProducerID, v.ClientTransactionVersion
	t.Updated, t.Started = timeOf(v.LastUpdateTimestamp), timeOf(v.StartTimestamp)
	// The epoch before is not in the record. Where the last change raised it, it is
	// the one below, and a producer that asks again must still be answered.
	if t.Epoch > 0 && (t.Version >= 2 || t.State == txn.Empty) {
		t.LastEpoch = t.Epoch - 1
	}
	t.Partitions = make(map[txn.Partition]struct{}, n)
	for _, topic := range v.Topics {
		for _, p := range topic.Partitions {
			t.Partitions[txn.Partition{Topic: topic.Topic, Index: p}] = struct{}{}
		}
	}
	return k.TransactionalID, t, nil
}

// plausibleTxn tells whether a value has the topics it claims to have, and how many
// partitions: kmsg would make room for as many topics as there are bytes.
func plausibleTxn(value []byte) (partitions int, ok bool) {
	r := wire.NewReader(value)
	flexible, least := r.Int16() >= 1, 6
	if flexible {
		least = 3
	}
	r.Span(8 + 2 + 4 + 1)
	for range r.ArrayLen(flexible, least) {
		r.StringBytes(flexible)
		n := max(0, r.ArrayLen(flexible, 4))
		r.Span(4 * n)
		r.SkipTags(flexible)
		partitions += n
	}
	r.Span(8 + 8)
	r.SkipTags(flexible)
	return partitions, r.Ok()
}

func millisOf(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms < 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
