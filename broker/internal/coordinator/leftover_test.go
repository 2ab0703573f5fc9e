package coordinator

import (
	"bytes"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// settleChecks waits until what partitions were found with is settled.
func (n *node) settleChecks() {
	n.t.Helper()
	n.txns.checks.Range(func(_, c any) bool {
		await(n.t, c.(*check).done)
		return true
	})
}

// TestLeftoverTransactions puts into the logs what a power cut may leave, each log cut
// where it likes, and starts. A partition's open transaction gets the marker that was
// decided for it, goes on where its coordinator knows it, and else is aborted.
func TestLeftoverTransactions(t *testing.T) {
	const pid = 1000
	here, there := txn.Partition{Topic: "t", Index: 0}, txn.Partition{Topic: "t", Index: 1}
	at := time.UnixMilli(time.Now().UnixMilli())
	// state is a record of the transactions' log, n seconds after the first.
	state := func(s txn.State, version, epoch int16, n int, parts ...txn.Partition) *txn.Txn {
		x := txn.New("x")
		x.ProducerID, x.State, x.Version, x.Epoch, x.Timeout = pid, s, version, epoch, time.Hour
		x.Updated = at.Add(time.Duration(n) * time.Second)
		if s == txn.Ongoing {
			x.Started = x.Updated
		}
		for _, p := range parts {
			x.Partitions[p] = struct{}{}
		}
		return x
	}
	data := func(epoch int16, seq int32, value string) []byte {
		b := record.NewBuilder(record.Options{Idempotent: true, Transactional: true, ProducerID: pid, ProducerEpoch: epoch, BaseSequence: seq})
		b.Add(record.Record{Timestamp: at.UnixMilli(), Value: []byte(value)})
		return b.Batch()
	}
	marker := func(epoch int16, commit bool, n int) []byte {
		return record.EndTxn(pid, epoch, record.Marker{Commit: commit, CoordinatorEpoch: 1}, at.Add(time.Duration(n)*time.Second).UnixMilli())
	}
	const (
		ongoing  = txn.Ongoing
		prepared = txn.PrepareCommit
		done     = txn.CompleteCommit
	)
	tests := []struct {
		name string
		log  []*txn.Txn
		data [][]byte
		want string // what read_committed readers get of the partition
		open bool   // the transaction goes on
	}{
		{"nobody knows it", nil, [][]byte{data(0, 0, "a")}, "", false},
		{"its beginning was lost", []*txn.Txn{state(txn.Empty, 0, 0, 0)}, [][]byte{data(0, 0, "a")}, "", false},
		{"it is ongoing", []*txn.Txn{state(ongoing, 2, 0, 0, here)}, [][]byte{data(0, 0, "a")}, "", true},
		{"it is ongoing, in version 1", []*txn.Txn{state(ongoing, 1, 0, 0, here)}, [][]byte{data(0, 0, "a")}, "", true},
		{"it is ongoing elsewhere", []*txn.Txn{state(ongoing, 2, 0, 0, there)}, [][]byte{data(0, 0, "a")}, "", false},
		{"an earlier one is ongoing", []*txn.Txn{state(ongoing, 2, 0, 0, here)}, [][]byte{data(1, 0, "a")}, "", false},
		{"decided, the markers due", []*txn.Txn{state(prepared, 2, 1, 0, here)}, [][]byte{data(0, 0, "a")}, "a", false},
		{"decided and complete", []*txn.Txn{state(prepared, 2, 1, 0, here), state(done, 2, 1, 1)}, [][]byte{data(0, 0, "a")}, "a", false},
		{"complete, the decision compacted away", []*txn.Txn{state(done, 2, 1, 1)}, [][]byte{data(0, 0, "a")}, "a", false},
		{"aborted and complete", []*txn.Txn{state(txn.PrepareAbort, 2, 1, 0, here), state(txn.CompleteAbort, 2, 1, 1)}, [][]byte{data(0, 0, "a")}, "", false},
		{
			"decided, others after it",
			[]*txn.Txn{state(prepared, 2, 1, 0, here), state(done, 2, 1, 1), state(txn.PrepareAbort, 2, 2, 2, here), state(txn.CompleteAbort, 2, 2, 3), state(ongoing, 2, 2, 4, here)},
			[][]byte{data(0, 0, "a")}, "a", false,
		},
		{
			"decided, the next one's markers due",
			[]*txn.Txn{state(prepared, 2, 1, 0, here), state(done, 2, 1, 1), state(txn.PrepareAbort, 2, 2, 2, here)},
			[][]byte{data(0, 0, "a")}, "a", false,
		},
		{
			"the decision before it is the last known",
			[]*txn.Txn{state(prepared, 2, 1, 0, here)},
			[][]byte{data(0, 0, "a"), marker(1, true, 1), data(1, 0, "b")}, "a", false,
		},
		{"version 1, decided", []*txn.Txn{state(prepared, 1, 0, 0, here), state(done, 1, 0, 1)}, [][]byte{data(0, 0, "a")}, "a", false},
		{
			"version 1, decided, the next one ongoing",
			[]*txn.Txn{state(prepared, 1, 0, 0, here), state(done, 1, 0, 1), state(ongoing, 1, 0, 2, here)},
			[][]byte{data(0, 0, "a")}, "a", false,
		},
		{
			"version 1, the one before it decided",
			[]*txn.Txn{state(prepared, 1, 0, 0, here)},
			[][]byte{data(0, 0, "a"), marker(0, true, 1), data(0, 1, "b")}, "a", false,
		},
		{
			"version 1, the second decision",
			[]*txn.Txn{state(txn.PrepareAbort, 1, 0, 0, here), state(txn.CompleteAbort, 1, 0, 1), state(prepared, 1, 0, 5, here), state(done, 1, 0, 6)},
			[][]byte{data(0, 0, "a"), marker(0, false, 1), data(0, 1, "b")}, "b", false,
		},
		{
			"version 1, its time was over",
			[]*txn.Txn{state(txn.PrepareAbort, 1, 1, 0, here), state(txn.CompleteAbort, 1, 1, 1)},
			[][]byte{data(0, 0, "a")}, "", false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := fsys.NewMem()
			start := func() *node {
				n, err := tryNode(t, fs, commitlog.CommitterConfig{Flush: commitlog.FlushOS}, patient, newEnds())
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			n := start()
			topic := n.create("t", 2)
			txns, err := n.txns.EnsureTopic(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			put := func(topic *cluster.Topic, index int32, batch []byte, origin partition.Origin) {
				t.Helper()
				p, err := n.topics.Get(topic, index)
				if err != nil {
					t.Fatal(err)
				}
				a, err := p.Append(batch, origin)
				if err != nil {
					t.Fatal(err)
				}
				await(t, a.Durable())
			}
			for _, s := range tt.log {
				put(txns, PartitionFor("x", txns.Partitions()), batchOf(record.Options{}, []entry{txnEntry(s)}, s.Updated), partition.Coordinator)
			}
			for _, b := range tt.data {
				origin := partition.Client
				if info, _ := record.ParseHeader(b); info.Control() {
					origin = partition.Coordinator
				}
				put(topic, 0, b, origin)
			}
			n.close()

			n = start()
			defer n.close()
			p, err := n.topics.Get(topic, 0)
			if err != nil {
				t.Fatal(err)
			}
			n.txns.Load()
			n.settleChecks()
			if len(tt.log) > 0 {
				// What is prepared is completed.
				for deadline := time.Now().Add(2 * time.Minute); ; {
					x, code := n.txns.Describe(t.Context(), "x")
					if code == 0 && !x.State.Prepared() {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("the transaction is not completed: %+v, code %d", x, code)
					}
				}
			}
			if o := p.Offsets(); (o.LastStable < o.HighWatermark) != tt.open {
				t.Errorf("a transaction is open: %v, want %v (%+v)", o.LastStable < o.HighWatermark, tt.open, o)
			}
			if got := committed(t, p); got != tt.want {
				t.Errorf("readers get %q, want %q", got, tt.want)
			}
		})
	}
}

// committed is what a read_committed reader gets, the values put together.
func committed(t *testing.T, p *partition.Partition) string {
	t.Helper()
	r, err := p.Read(0, 1<<20, partition.ReadCommitted, true)
	if err != nil {
		t.Fatal(err)
	}
	aborted := map[int64][]int64{}
	for _, a := range r.Aborted {
		aborted[a.ProducerID] = append(aborted[a.ProducerID], a.FirstOffset)
	}
	var out bytes.Buffer
	skip := map[int64]bool{}
	_, err = eachEntry(r.Records, func(info *record.Info, e entry) error {
		if starts := aborted[info.ProducerID]; len(starts) > 0 && starts[0] == info.BaseOffset {
			skip[info.ProducerID], aborted[info.ProducerID] = true, starts[1:]
		}
		switch {
		case info.Control():
			skip[info.ProducerID] = false
		case !skip[info.ProducerID]:
			out.Write(e.value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestLeftoverOffsets: offsets of a transaction whose marker was lost in the offsets
// topic count once it was decided.
func TestLeftoverOffsets(t *testing.T) {
	fs := fsys.NewMem()
	n := openNode(t, fs)
	n.create("t", 1)
	offsets, err := n.groups.EnsureTopic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	txns, err := n.txns.EnsureTopic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	index := PartitionFor("g", offsets.Partitions())
	x := txn.New("x")
	x.ProducerID, x.Epoch, x.State, x.Version, x.Updated = 1000, 1, txn.PrepareCommit, 2, time.Now()
	x.Partitions[txn.Partition{Topic: offsets.Name, Index: index}] = struct{}{}
	done := x.Clone()
	done.Complete(time.Now())
	for _, put := range []struct {
		topic *cluster.Topic
		index int32
		batch []byte
	}{
		{txns, PartitionFor("x", txns.Partitions()), batchOf(record.Options{}, []entry{txnEntry(x), txnEntry(done)}, time.Now())},
		{offsets, index, batchOf(record.Options{Idempotent: true, ProducerID: 1000, BaseSequence: -1, Transactional: true},
			[]entry{offsetEntry("g", "t", 0, group.Offset{Offset: 7, LeaderEpoch: -1, CommitTime: time.Now()})}, time.Now())},
	} {
		p, err := n.topics.Get(put.topic, put.index)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.Append(put.batch, partition.Coordinator)
		if err != nil {
			t.Fatal(err)
		}
		await(t, a.Durable())
	}
	n.close()
	n = openNode(t, fs)
	defer n.close()
	n.groups.Load()
	n.settleChecks()
	if o, code := n.offset("g"); o != 7 || code != 0 {
		t.Errorf("the group is at %d, code %d", o, code)
	}
}
