package coordinator

import (
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// FuzzRecords reads anything as a record of the internal topics: an error, or a change
// that can be applied, in memory that its bytes pay for.
func FuzzRecords(f *testing.F) {
	add := func(e entry) { f.Add(e.key, e.value, e.value == nil) }
	add(offsetEntry("g", "t", 1, group.Offset{Offset: 5, Metadata: "m", CommitTime: time.UnixMilli(1000)}))
	add(offsetTombstone("g", "t", 1))
	add(groupTombstone("g"))
	t := txn.New("x")
	t.ProducerID, t.Epoch, t.State = 5, 1, txn.Ongoing
	t.Partitions[txn.Partition{Topic: "t", Index: 1}] = struct{}{}
	add(txnEntry(t))
	add(txnTombstone("x"))
	for kind := byte(3); kind < 20; kind++ {
		f.Add([]byte{0, kind, 0, 1, 'g', 0, 1, 'm'}, []byte{0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}, false)
	}
	f.Add([]byte{0, 2, 0, 1, 'g'}, []byte{0, 3, 0, 1, 'c', 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool) {
		e := entry{key: key, value: value}
		if tombstone {
			e.value = nil
		}
		// 256 bytes of a structure for each byte are what a request may cost as well.
		alloc.Within(t, 64*(len(key)+len(value)), func() {
			if c, ok, err := parse(e); err == nil && ok && c.restore != nil {
				_ = c.restore(consumergroup.New("g", &consumergroup.Config{MaxSize: 100, Assignors: consumergroup.Assignors}))
			}
			_, _, _ = parseTxn(e)
		})
	})
}
