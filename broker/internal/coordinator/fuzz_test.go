package coordinator

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

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
		readOnce(t, e)
	})
}

// recordFactor is what a record may cost for each of its bytes once it is state in
// memory, beside 1 MiB: a partition takes four bytes in a record and twenty in each of
// the sets it is in. Measured: 34 for a member's assignment with the epochs of its
// partitions (18 to read, 16 in the group), 19 for a target, 16 for names that are
// empty, 14 for a transaction's partitions, 12 for a classic group.
const recordFactor = 40

// readOnce reads a record and applies it, and fails the test when that takes more
// memory than its bytes pay for.
func readOnce(t testing.TB, e entry) {
	t.Helper()
	alloc.WithinTimes(t, recordFactor, len(e.key)+len(e.value), func() {
		if c, ok, err := parse(e); err == nil && ok && c.restore != nil {
			_ = c.restore(consumergroup.New("g", &consumergroup.Config{MaxSize: 100, Assignors: consumergroup.Assignors}))
		}
		_, _, _ = parseTxn(e)
	})
}

// TestDenseRecords: records that hold, or claim to hold, as much as their bytes can say.
func TestDenseRecords(t *testing.T) {
	const n = 200_000
	named := func(kind byte) []byte { return []byte{0, kind, 0, 1, 'g', 0, 1, 'm'} }
	var partitions value
	partitions.length(1)
	partitions = append(partitions, make([]byte, 16)...)
	partitions.length(n)
	for i := range int32(n) {
		partitions.int32(i)
	}
	var epochs value
	epochs.length(n)
	epochs = append(epochs, make([]byte, 4*n)...)

	target := append(value{0, 0}, partitions...)
	target.noTags()
	target.noTags()
	readOnce(t, entry{key: named(7), value: target})

	current := append(value{0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0}, partitions...)
	current.tag(0, epochs)
	current.length(0)
	current.noTags()
	readOnce(t, entry{key: named(8), value: current})

	regex := value{0, 0}
	regex.strings(make([]string, n))
	regex.int64(1)
	regex.int64(1)
	regex.noTags()
	readOnce(t, entry{key: named(16), value: regex})

	members := []byte{0, 3, 0, 1, 'c', 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	members = binary.BigEndian.AppendUint32(members, n)
	readOnce(t, entry{key: groupKey("g"), value: append(members, make([]byte, n)...)})    // not that many
	readOnce(t, entry{key: groupKey("g"), value: append(members, make([]byte, 24*n)...)}) // all of them empty

	topics := binary.BigEndian.AppendUint32(make([]byte, 2+8+2+4+1), n)
	readOnce(t, entry{key: []byte{0, 0, 0, 1, 'x'}, value: append(topics, make([]byte, n)...)})
	readOnce(t, entry{key: []byte{0, 0, 0, 1, 'x'}, value: append(topics, make([]byte, 6*n+16)...)})
}

// TestPlausible: what kmsg writes passes the walks that come before it reads.
func TestPlausible(t *testing.T) {
	for version := range int16(5) {
		v := kmsg.GroupMetadataValue{Version: version, ProtocolType: "consumer", Generation: 1, Leader: kmsg.StringPtr("m")}
		for _, instance := range []*string{nil, kmsg.StringPtr("i")} {
			v.Members = append(v.Members, kmsg.GroupMetadataValueMember{MemberID: "m", InstanceID: instance, ClientID: "c", ClientHost: "h", Subscription: []byte("s"), Assignment: []byte("as")})
		}
		if b := v.AppendTo(nil); !plausibleGroup(b) || plausibleGroup(b[:len(b)-1]) {
			t.Errorf("version %d of a group's value", version)
		}
	}
	for version := range int16(2) {
		v := kmsg.NewTxnMetadataValue()
		v.Version, v.PreviousProducerID, v.NextProducerID = version, 5, 6
		v.Topics = []kmsg.TxnMetadataValueTopic{{Topic: "t", Partitions: []int32{1, 2}}, {Topic: "u", Partitions: []int32{3}}}
		b := v.AppendTo(nil)
		if n, ok := plausibleTxn(b); n != 3 || !ok {
			t.Errorf("version %d of a transaction's value: %d partitions, %t", version, n, ok)
		}
		if _, ok := plausibleTxn(b[:len(b)-1]); ok {
			t.Errorf("version %d of a transaction's value, cut off, passes", version)
		}
	}
}
