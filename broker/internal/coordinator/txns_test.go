package coordinator

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// TestMarkersShareARound: the markers of a transaction, that of its offsets among them,
// are all on their way before the first of them is durable.
func TestMarkersShareARound(t *testing.T) {
	var held atomic.Bool
	release := make(chan struct{})
	fs := &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if held.Load() && c.Op == "sync" && strings.Contains(c.Name, "/topics/") && !strings.Contains(c.Name, "__transaction_state") {
			<-release
		}
		return nil
	}}
	n, err := tryNode(t, fs, commitlog.CommitterConfig{JournalBytes: -1}, patient, newEnds())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	topic := n.create("t", 2)
	p := n.txns.Init(t.Context(), "x", time.Minute, -1, -1)
	var parts []*partition.Partition
	for i := range topic.Partitions() {
		part, err := n.topics.Get(topic, i)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
		var a *partition.Pending
		codes := n.txns.Write(t.Context(), "x", p.ProducerID, p.Epoch, []txn.Partition{{Topic: "t", Index: i}}, true, func(int) {
			b := record.NewBuilder(record.Options{Idempotent: true, Transactional: true, ProducerID: p.ProducerID, ProducerEpoch: p.Epoch})
			b.Add(record.Record{Value: []byte("v")})
			a, err = part.Append(b.Batch(), partition.Client)
		})
		if codes[0] != 0 || err != nil {
			t.Fatal(codes, err)
		}
		await(t, a.Durable())
	}
	op, code := n.txns.OffsetsPartition(t.Context(), "g")
	if code != 0 {
		t.Fatal(code)
	}
	codes := n.txns.Write(t.Context(), "x", p.ProducerID, p.Epoch, []txn.Partition{op}, true, func(int) {
		code = n.groups.CommitTxnOffsets(t.Context(), "g", nobody(), p.ProducerID, p.Epoch, []Commit{{TopicPartition: TopicPartition{"t", 0}, Offset: 5}})[0]
	})
	if codes[0] != 0 || code != 0 {
		t.Fatal(codes, code)
	}
	offsets, err := n.topics.Get(n.cluster.Image().Topic(op.Topic), op.Index)
	if err != nil {
		t.Fatal(err)
	}
	parts = append(parts, offsets)
	before := make([]int64, len(parts))
	for i, part := range parts {
		before[i] = part.Offsets().LogEnd
	}
	held.Store(true)
	defer func() {
		held.Store(false)
		close(release)
	}()
	if r := n.txns.End(t.Context(), "x", p.ProducerID, p.Epoch, true, 2); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for i, part := range parts {
		for part.Offsets().LogEnd == before[i] {
			if time.Now().After(deadline) {
				t.Fatalf("the marker of partition %d waits for another's sync", i)
			}
			time.Sleep(time.Millisecond)
		}
		if o := part.Offsets(); o.HighWatermark != before[i] {
			t.Errorf("partition %d is durable without a sync: %+v", i, o)
		}
	}
}

// TestRefusedMarker: a marker of an epoch that was fenced ends nothing, also not the
// offsets that its producer's transaction holds.
func TestRefusedMarker(t *testing.T) {
	n := openNode(t, fsys.NewMem())
	defer n.close()
	n.create("t", 1)
	n.txns.Init(t.Context(), "x", time.Minute, -1, -1)
	p := n.txns.Init(t.Context(), "x", time.Minute, -1, -1)
	op, code := n.txns.OffsetsPartition(t.Context(), "g")
	if p.Epoch != 1 || code != 0 {
		t.Fatal(p, code)
	}
	codes := n.txns.Write(t.Context(), "x", p.ProducerID, p.Epoch, []txn.Partition{op}, true, func(int) {
		code = n.groups.CommitTxnOffsets(t.Context(), "g", nobody(), p.ProducerID, p.Epoch, []Commit{{TopicPartition: TopicPartition{"t", 0}, Offset: 5}})[0]
	})
	if codes[0] != 0 || code != 0 {
		t.Fatal(codes, code)
	}
	if code := n.txns.WriteMarker(t.Context(), op, p.ProducerID, 0, record.Marker{Commit: true, CoordinatorEpoch: 1}); code != record.CodeInvalidProducerEpoch {
		t.Errorf("a marker of the epoch before: code %d", code)
	}
	if o, code := n.offset("g"); o != -1 || code != 0 {
		t.Errorf("the group is at %d, code %d", o, code)
	}
	if r := n.txns.End(t.Context(), "x", p.ProducerID, p.Epoch, true, 2); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := n.txns.Init(t.Context(), "x", time.Minute, -1, -1); r.Code != 0 { // once it is complete
		t.Fatalf("%+v", r)
	}
	if o, code := n.offset("g"); o != 5 || code != 0 {
		t.Errorf("the group is at %d after the end, code %d", o, code)
	}
}
