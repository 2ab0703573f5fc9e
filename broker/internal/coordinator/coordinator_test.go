package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/clusterlog"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/datadir"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/topics"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// node is everything under the request handlers, on a file system of the test.
type node struct {
	t         *testing.T
	fs        fsys.FS
	log       *clusterlog.Log
	cluster   *cluster.Cluster
	committer *commitlog.Committer
	topics    *topics.Manager
	groups    *Groups
	txns      *Txns
	producers *cluster.ProducerIDs
	ids       atomic.Int64
}

const dir = "/data"

func openNode(t *testing.T, fs fsys.FS) *node {
	t.Helper()
	n := &node{t: t, fs: fs}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(datadir.Make(fs, dir))
	log, records, err := clusterlog.Open(fs, dir)
	must(err)
	n.log = log
	n.cluster, err = cluster.Open(log, records)
	must(err)
	must(n.cluster.Propose(context.Background(), &cluster.StartBroker{Epoch: n.cluster.Image().Epoch + 1}))
	quiet := slog.New(slog.DiscardHandler)
	n.committer, err = commitlog.NewCommitter(commitlog.CommitterConfig{FS: fs, Dir: dir, Logger: quiet})
	must(err)
	n.topics, err = topics.New(topics.Config{FS: fs, Dir: path.Join(dir, "topics"), Committer: n.committer, Logger: quiet, Now: time.Now}, n.cluster)
	must(err)
	n.groups = NewGroups(Config{
		Group: group.Config{MinSessionTimeout: time.Millisecond, MaxSessionTimeout: time.Hour, MaxSize: 10,
			NewID: func() string { return fmt.Sprint(n.ids.Add(1)) }},
		Consumer:       consumergroup.Config{MaxSize: 100, Assignors: consumergroup.Assignors},
		SessionTimeout: time.Hour, HeartbeatInterval: time.Second,
		OffsetsPartitions: 2, OffsetsRetention: time.Hour, ExpiryInterval: time.Hour, MaxMetadata: 4096, Logger: quiet, Now: time.Now,
	}, n.cluster, n.topics)
	n.producers = cluster.NewProducerIDs(n.cluster)
	n.txns = NewTxns(TxnConfig{
		Partitions: 2, MaxTimeout: time.Hour, IDExpiration: time.Hour, Patience: 5 * time.Second, NewProducerID: n.producers.Take,
		ExpiryInterval: time.Hour, Logger: quiet, Now: time.Now,
	}, n.cluster, n.topics, n.groups)
	return n
}

func (n *node) close() {
	n.t.Helper()
	n.txns.Close()
	n.groups.Close()
	if err := errors.Join(n.topics.Close(), n.committer.Close(), n.log.Close()); err != nil {
		n.t.Errorf("closing: %v", err)
	}
}

// abandon closes what runs; the file system may be beyond it.
func (n *node) abandon() {
	n.txns.Close()
	n.groups.Close()
	_ = errors.Join(n.topics.Close(), n.committer.Close(), n.log.Close()) // it was made to fail
}

func (n *node) create(name string, partitions int32) *cluster.Topic {
	n.t.Helper()
	if err := n.cluster.Propose(context.Background(), &cluster.CreateTopic{Name: name, ID: cluster.NewID(), Partitions: partitions}); err != nil {
		n.t.Fatal(err)
	}
	return n.cluster.Image().Topic(name)
}

func nobody() Committer { return Committer{Generation: -1} }

func (n *node) commit(groupID string, offset int64) int16 {
	n.t.Helper()
	return n.groups.CommitOffsets(n.t.Context(), groupID, nobody(), []Commit{{TopicPartition: TopicPartition{"t", 0}, Offset: offset}})[0]
}

func (n *node) offset(groupID string) (int64, int16) {
	n.t.Helper()
	out, code := n.groups.FetchOffsets(n.t.Context(), groupID, Fetcher{MemberEpoch: -1}, []TopicPartition{{"t", 0}}, false)
	if code != 0 {
		return -1, code
	}
	return out[0].Offset.Offset, 0
}

// TestReload: a write that fails costs the answer, not the coordinator: it starts
// over from its log, where only what was acknowledged is.
func TestReload(t *testing.T) {
	defer goleak.VerifyNone(t)
	var failing atomic.Bool
	fs := &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		// Everything that a commit round writes, and nothing of the cluster's log.
		if failing.Load() && c.Op == "write" && !strings.Contains(c.Name, "cluster") {
			return fsys.ErrNoSpace
		}
		return nil
	}}
	n := openNode(t, fs)
	defer n.abandon()
	if code := n.commit("g", 5); code != 0 {
		t.Fatalf("commit: %d", code)
	}
	failing.Store(true)
	if code := n.commit("g", 6); code != 15 {
		t.Fatalf("a commit that cannot be written: code %d, want COORDINATOR_NOT_AVAILABLE", code)
	}
	failing.Store(false)
	deadline := time.Now().Add(20 * time.Second)
	for {
		o, code := n.offset("g")
		if code == 0 {
			if o != 5 {
				t.Fatalf("the offset is %d, 5 was acknowledged", o)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the coordinator does not come back: code %d", code)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if code := n.commit("g", 7); code != 0 {
		t.Fatalf("commit after the failure: %d", code)
	}
	if o, _ := n.offset("g"); o != 7 {
		t.Errorf("the offset is %d", o)
	}
}

// TestPanic: a step that panics costs its round, not the process.
func TestPanic(t *testing.T) {
	defer goleak.VerifyNone(t)
	n := openNode(t, fsys.NewMem())
	defer n.close()
	n.commit("g", 5)
	s, code := n.groups.shard(t.Context(), "g")
	if code != 0 {
		t.Fatal(code)
	}
	if code := s.do(t.Context(), func(time.Time) { panic("a bug") }); code != -1 {
		t.Errorf("the step's code is %d", code)
	}
	if o, code := n.offset("g"); o != 5 || code != 0 {
		t.Errorf("after the panic: %d, code %d", o, code)
	}
}

// TestCommitsOfManyGroups: concurrent commits share appends, and each gets its answer.
func TestCommitsOfManyGroups(t *testing.T) {
	defer goleak.VerifyNone(t)
	n := openNode(t, fsys.NewMem())
	defer n.close()
	var wg sync.WaitGroup
	for g := range 20 {
		wg.Go(func() {
			for i := range int64(50) {
				if code := n.commit(fmt.Sprint("g", g), i); code != 0 {
					t.Errorf("commit: %d", code)
				}
			}
		})
	}
	wg.Wait()
	list, code := n.groups.List(t.Context())
	if len(list) != 20 || code != 0 {
		t.Errorf("%d groups, code %d", len(list), code)
	}
	for g := range 20 {
		if o, _ := n.offset(fmt.Sprint("g", g)); o != 49 {
			t.Errorf("group %d is at %d", g, o)
		}
	}
}

// write appends one record of a transaction to partition p of a topic.
func (n *node) write(id string, pid int64, epoch int16, topic *cluster.Topic, p int32, seq int32) int16 {
	n.t.Helper()
	var failed error
	var pending *partition.Pending
	codes := n.txns.Write(n.t.Context(), id, pid, epoch, []txn.Partition{{Topic: topic.Name, Index: p}}, true, func(int) {
		part, err := n.topics.Get(topic, p)
		if err == nil {
			b := record.NewBuilder(record.Options{Idempotent: true, ProducerID: pid, ProducerEpoch: epoch, BaseSequence: seq, Transactional: true})
			b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(id)})
			pending, err = part.Append(b.Batch(), partition.Client)
		}
		failed = err
	})
	if codes[0] == 0 && failed == nil {
		<-pending.Durable()
		failed = pending.Err()
	}
	if failed != nil {
		code, _ := topics.Code(failed)
		return code
	}
	return codes[0]
}

// TestPowerCuts: groups and transactions after a power cut at any moment: what was
// acknowledged is there, a decided transaction is completed in every partition, an
// open one is open, and can be ended.
func TestPowerCuts(t *testing.T) {
	rounds := uint64(40)
	if testing.Short() {
		rounds = 5
	}
	for seed := range rounds {
		mem := fsys.NewMem()
		n := openNode(t, mem)
		topic := n.create("t", 2)
		ctx := t.Context()
		want := map[string]int64{}
		for i := range int64(3 + seed%5) {
			if code := n.commit("plain", i); code != 0 {
				t.Fatalf("commit: %d", code)
			}
			want["plain"] = i
			r := n.txns.Init(ctx, "x", time.Minute, -1, -1)
			if r.Code != 0 {
				t.Fatalf("init: %d", r.Code)
			}
			for p := range int32(2) {
				if code := n.write("x", r.ProducerID, r.Epoch, topic, p, 0); code != 0 {
					t.Fatalf("write: %d", code)
				}
			}
			op, _ := n.txns.OffsetsPartition(ctx, "intxn")
			n.txns.Write(ctx, "x", r.ProducerID, r.Epoch, []txn.Partition{op}, true, func(int) {
				n.groups.CommitTxnOffsets(ctx, "intxn", nobody(), r.ProducerID, r.Epoch, []Commit{{TopicPartition: TopicPartition{"t", 0}, Offset: i}})
			})
			if i%2 == 0 {
				if r := n.txns.End(ctx, "x", r.ProducerID, r.Epoch, true, 2); r.Code != 0 {
					t.Fatalf("end: %d", r.Code)
				}
				want["intxn"] = i // decided: whether its markers were written or not
			} else if r := n.txns.End(ctx, "x", r.ProducerID, r.Epoch, false, 2); r.Code != 0 {
				t.Fatalf("abort: %d", r.Code)
			}
		}
		after := mem.Crash(seed)
		n.abandon()

		again := openNode(t, after)
		topic = again.cluster.Image().Topic("t")
		again.groups.Load()
		again.txns.Load()
		// The next transaction waits for the markers of the last one.
		r := again.txns.Init(ctx, "x", time.Minute, -1, -1)
		if r.Code != 0 {
			t.Fatalf("seed %d: init after the cut: %d", seed, r.Code)
		}
		for p := range int32(2) {
			part, err := again.topics.Get(topic, p)
			if err != nil {
				t.Fatal(err)
			}
			if o := part.Offsets(); o.LastStable != o.HighWatermark {
				t.Errorf("seed %d: partition %d has an open transaction: %+v", seed, p, o)
			}
		}
		for g, o := range want {
			if got, code := again.offset(g); got != o || code != 0 {
				t.Errorf("seed %d: group %s is at %d (code %d), %d was acknowledged", seed, g, got, code, o)
			}
		}
		if code := again.write("x", r.ProducerID, r.Epoch, topic, 0, 0); code != 0 {
			t.Errorf("seed %d: a new transaction: %d", seed, code)
		}
		again.close()
	}
}
