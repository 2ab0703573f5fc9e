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
	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/topics"
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
	ahead     atomic.Int64 // of the time: what the topics take it to be
	flush     commitlog.Flush
}

// ends is where partitions ended when they were opened, before anything was written to
// them: the least where one was opened several times.
type ends struct {
	mu sync.Mutex
	at map[history.Log]int64
}

func newEnds() *ends { return &ends{at: map[history.Log]int64{}} }

func (e *ends) found(log history.Log, end int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if before, again := e.at[log]; !again || end < before {
		e.at[log] = end
	}
}

func (e *ends) of(log history.Log) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at[log]
}

const dir = "/data"

// patient is how long tests let a request wait for a transaction that is ending: nothing
// else is to happen before.
const patient = 2 * time.Minute

func openNode(t *testing.T, fs fsys.FS) *node {
	t.Helper()
	n, err := tryNode(t, fs, commitlog.CommitterConfig{}, patient, newEnds())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tryNode opens a node; what is open when it fails is closed. Patience is that of
// requests for a transaction that is ending. Where partitions end is noted in found.
func tryNode(t *testing.T, fs fsys.FS, storage commitlog.CommitterConfig, patience time.Duration, found *ends) (_ *node, err error) {
	n := &node{t: t, fs: fs, flush: storage.Flush}
	defer func() {
		if err != nil {
			n.abandon()
		}
	}()
	if err := datadir.Make(fs, dir); err != nil {
		return nil, err
	}
	log, records, err := clusterlog.Open(fs, dir)
	if err != nil {
		return nil, err
	}
	n.log = log
	if n.cluster, err = cluster.Open(log, records); err != nil {
		return nil, err
	}
	if err := n.cluster.Propose(context.Background(), &cluster.StartBroker{Epoch: n.cluster.Image().Epoch + 1}); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	storage.FS, storage.Dir, storage.Logger = fs, dir, quiet
	if n.committer, err = commitlog.NewCommitter(storage); err != nil {
		return nil, err
	}
	if n.topics, err = topics.New(topics.Config{FS: fs, Dir: path.Join(dir, "topics"), Committer: n.committer, Logger: quiet, Now: func() time.Time { return time.Now().Add(time.Duration(n.ahead.Load())) }}, n.cluster); err != nil {
		return nil, err
	}
	n.groups = NewGroups(Config{
		Group: group.Config{MinSessionTimeout: time.Millisecond, MaxSessionTimeout: time.Hour, MaxSize: 10,
			NewID: func() string { return fmt.Sprint(n.ids.Add(1)) }},
		Consumer:       consumergroup.Config{MaxSize: 100, Assignors: consumergroup.Assignors},
		SessionTimeout: time.Hour, HeartbeatInterval: time.Second,
		OffsetsPartitions: 2, OffsetsRetention: time.Hour, ExpiryInterval: time.Hour, MaxMetadata: 4096, Logger: quiet, Now: time.Now,
	}, n.cluster, n.topics)
	n.producers = cluster.NewProducerIDs(n.cluster)
	n.txns = NewTxns(TxnConfig{
		Partitions: 2, MaxTimeout: time.Hour, IDExpiration: time.Hour, Patience: patience, NewProducerID: n.producers.Take, Unsynced: storage.Flush != commitlog.FlushGroup,
		ExpiryInterval: time.Hour, Logger: quiet, Now: time.Now,
	}, n.cluster, n.topics, n.groups)
	n.topics.OnOpen(func(t *cluster.Topic, i int32, p *partition.Partition) {
		found.found(logName(t, i), p.Offsets().LogEnd)
		n.txns.opened(t, i, p)
	})
	return n, nil
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
	if n.txns != nil {
		n.txns.Close()
		n.groups.Close()
	}
	if n.topics != nil {
		_ = n.topics.Close() // it was made to fail
	}
	if n.committer != nil {
		_ = n.committer.Close()
	}
	if n.log != nil {
		_ = n.log.Close()
	}
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
	deadline := time.Now().Add(2 * time.Minute)
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

// TestReloadKeepsWhatIsOnItsWay: a change that was written before the one that failed, and
// becomes durable after it, is acknowledged; so the state that is loaded again has it.
func TestReloadKeepsWhatIsOnItsWay(t *testing.T) {
	defer goleak.VerifyNone(t)
	var holding, failing atomic.Bool
	held, gate := make(chan struct{}), make(chan struct{})
	fs := &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if !strings.Contains(c.Name, "/"+cluster.OffsetsTopic) {
			return nil
		}
		if c.Op == "sync" && holding.CompareAndSwap(true, false) {
			close(held)
			<-gate
		}
		if c.Op == "write" && failing.CompareAndSwap(true, false) {
			return fsys.ErrNoSpace
		}
		return nil
	}}
	// Every append is written at once, also while the sync of another is under way.
	n, err := tryNode(t, fs, commitlog.CommitterConfig{LargeWrite: 1, CleanEvery: -1}, patient, newEnds())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if code := n.commit("g", 5); code != 0 {
		t.Fatalf("commit: %d", code)
	}
	holding.Store(true)
	slow := make(chan int16, 1)
	go func() { slow <- n.commit("g", 6) }()
	<-held
	failing.Store(true)
	if code := n.commit("g", 7); code != 15 {
		t.Fatalf("a commit that cannot be written: code %d, want COORDINATOR_NOT_AVAILABLE", code)
	}
	read := make(chan int64, 1)
	go func() {
		o, _ := n.offset("g")
		read <- o
	}()
	select {
	case o := <-read:
		t.Errorf("offset %d was told while the commit of 6 was on its way", o)
		read <- o
	case <-time.After(50 * time.Millisecond): // that nothing comes cannot be waited for
	}
	close(gate)
	if code := <-slow; code != 0 {
		t.Fatalf("the commit of 6: code %d", code)
	}
	if o := <-read; o != 6 {
		t.Errorf("who asked meanwhile is told %d", o)
	}
	if o, code := n.offset("g"); o != 6 || code != 0 {
		t.Errorf("the offset is %d, code %d; 6 was acknowledged", o, code)
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

// TestNoStepOutlivesItsRequest: a request is not answered while its step is being taken,
// also when the coordinator closes: the step fills in what the answer is made of.
func TestNoStepOutlivesItsRequest(t *testing.T) {
	defer goleak.VerifyNone(t)
	n := openNode(t, fsys.NewMem())
	s, code := n.groups.shard(t.Context(), "g")
	if code != 0 {
		t.Fatal(code)
	}
	begun, gate := make(chan struct{}), make(chan struct{})
	answered, closed := make(chan bool, 1), make(chan struct{})
	go func() {
		taken := false
		s.do(t.Context(), func(time.Time) {
			close(begun)
			<-gate
			taken = true
		})
		answered <- taken
	}()
	<-begun
	go func() {
		n.close()
		close(closed)
	}()
	<-s.quit
	select {
	case taken := <-answered:
		t.Error("it is answered, and its step goes on")
		answered <- taken
	case <-time.After(50 * time.Millisecond): // that nothing comes cannot be waited for
	}
	close(gate)
	if !<-answered {
		t.Error("its step was not taken")
	}
	<-closed
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

// TestNewIDAfterUnsyncedStart: where a power cut may have taken the last epochs from
// the log, they are not given out a second time: a producer that comes after a start
// gets an id of its own, also one that names the id it has.
func TestNewIDAfterUnsyncedStart(t *testing.T) {
	for _, tt := range []struct {
		flush commitlog.Flush
		known bool
		fresh bool
	}{{commitlog.FlushGroup, false, false}, {commitlog.FlushOS, false, true}, {commitlog.FlushInterval, true, true}} {
		fs := fsys.NewMem()
		start := func() *node {
			n, err := tryNode(t, fs, commitlog.CommitterConfig{Flush: tt.flush}, patient, newEnds())
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		n := start()
		before := n.txns.Init(t.Context(), "x", time.Minute, -1, -1)
		n.close()
		n = start()
		id, epoch := int64(-1), int16(-1)
		if tt.known {
			id, epoch = before.ProducerID, before.Epoch
		}
		after := n.txns.Init(t.Context(), "x", time.Minute, id, epoch)
		if before.Code != 0 || after.Code != 0 || (after.ProducerID != before.ProducerID) != tt.fresh {
			t.Errorf("%+v: first %+v, then %+v", tt, before, after)
		}
		if tt.fresh && after.Epoch != 0 {
			t.Errorf("%+v: epoch %d", tt, after.Epoch)
		}
		n.close()
	}
}
