package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/history/consume"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// The topics of the workload, each with what makes something happen to its log.
var workTopics = map[string]struct {
	partitions int32
	configs    map[string]string
}{
	"t":       {2, map[string]string{"segment.bytes": "1500"}},
	"deleted": {1, map[string]string{"segment.bytes": "1500"}},
	"retain":  {1, map[string]string{"segment.bytes": "900", "retention.bytes": "3000"}},
	"compact": {1, map[string]string{"segment.bytes": "900", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}},
}

var workTxns = []string{"x0", "x1"}

// workload does random things to a node, one after the other, and keeps the history.
// What a cut has to see together with the disk is changed under the recorder's lock.
type workload struct {
	t   testing.TB
	rng *rand.Rand
	n   *node
	rec *history.Recorder
	*facts

	flight    []flight
	producers map[string]*producer
	values    *int // values and names given out, over all lives
}

// facts are what is known of topics and log starts.
type facts struct {
	topics map[string]topicState
	starts map[history.Log]int64 // least log start
}

type topicState struct {
	id    cluster.ID
	sure  bool // the image must say so; else it may say this or what was before
	there bool
}

func (f *facts) clone() *facts {
	c := &facts{topics: map[string]topicState{}, starts: map[history.Log]int64{}}
	for k, v := range f.topics {
		c.topics[k] = v
	}
	for k, v := range f.starts {
		c.starts[k] = v
	}
	return c
}

// flight is a batch that is on its way to the disk.
type flight struct {
	pending *partition.Pending
	sends   []int // their places in the history
	acks    int16
}

// producer is an idempotent or transactional producer; it lives as long as the node.
type producer struct {
	name  string
	id    int64
	epoch int16
	seqs  map[string]int32
	seq   int64  // of records, for the history
	txn   string // the open transaction
	txnAt int    // and its place in the history
}

func logName(t *cluster.Topic, index int32) history.Log {
	return history.Log(fmt.Sprintf("%s#%x-%d", t.Name, t.ID[:4], index))
}

func (w *workload) topic(name string) *cluster.Topic { return w.n.cluster.Image().Topic(name) }

// number gives out a number that was not there before.
func (w *workload) number() int {
	*w.values++
	return *w.values
}

// step does one random thing.
func (w *workload) step() {
	switch r := w.rng.IntN(100); {
	case r < 30:
		w.produce()
	case r < 50:
		w.transact()
	case r < 62:
		w.commit(fmt.Sprint("g", w.rng.IntN(3)), nil)
	case r < 72:
		w.poll()
	case r < 76:
		w.fetchOffsets(fmt.Sprint("g", w.rng.IntN(3)))
	case r < 80:
		w.deleteRecords()
	case r < 85:
		w.recreate()
	default:
		w.settle(w.rng.IntN(3))
	}
}

// create makes a topic that is not there.
func (w *workload) create(name string) {
	id := cluster.NewID()
	spec := workTopics[name]
	before := w.topics[name]
	w.rec.Change(func(*history.History) { w.topics[name] = topicState{id: id, there: true} })
	if before.there && before.sure {
		w.t.Fatalf("topic %s is there", name)
	}
	err := w.n.cluster.Propose(context.Background(), &cluster.CreateTopic{Name: name, ID: id, Partitions: spec.partitions, Configs: spec.configs})
	w.rec.Change(func(h *history.History) {
		if err == nil {
			w.topics[name] = topicState{id: id, there: true, sure: true}
		}
		for p := range spec.partitions {
			if name == "t" || name == "deleted" {
				h.Whole[logName(&cluster.Topic{Name: name, ID: id}, p)] = true
			}
		}
	})
}

// recreate deletes a topic and makes it again.
func (w *workload) recreate() {
	t := w.topic("deleted")
	if t != nil {
		w.rec.Change(func(*history.History) { w.topics["deleted"] = topicState{id: t.ID} })
		err := w.n.cluster.Propose(context.Background(), &cluster.DeleteTopic{ID: t.ID})
		if err != nil {
			return
		}
		w.rec.Change(func(*history.History) { w.topics["deleted"] = topicState{id: t.ID, sure: true} })
	}
	if w.rng.IntN(4) > 0 {
		w.create("deleted")
	}
}

// part picks a partition of a topic, nil where there is none.
func (w *workload) part(name string) (*partition.Partition, *cluster.Topic, int32) {
	t := w.topic(name)
	if t == nil {
		return nil, nil, 0
	}
	i := w.rng.Int32N(t.Partitions())
	p, err := w.n.topics.Get(t, i)
	if err != nil {
		return nil, nil, 0 // a fault was injected
	}
	return p, t, i
}

func (w *workload) anyTopic() string {
	return []string{"t", "t", "deleted", "retain", "compact"}[w.rng.IntN(5)]
}

// produce sends a batch without a transaction.
func (w *workload) produce() {
	p, t, i := w.part(w.anyTopic())
	if p == nil {
		return
	}
	if w.rng.IntN(2) == 0 {
		w.append(p, t, i, nil)
		return
	}
	pr := w.producers["plain"]
	if pr == nil {
		id, err := w.n.producers.Take(context.Background())
		if err != nil {
			return
		}
		pr = &producer{name: fmt.Sprint("plain", w.number()), id: id, seqs: map[string]int32{}}
		w.producers["plain"] = pr
	}
	w.append(p, t, i, pr)
}

// append sends one to three records to a partition, by a producer or by none.
func (w *workload) append(p *partition.Partition, t *cluster.Topic, index int32, pr *producer) {
	name := logName(t, index)
	acks := int16(-1)
	o := record.Options{}
	if pr != nil {
		o = record.Options{Idempotent: true, ProducerID: pr.id, ProducerEpoch: pr.epoch, BaseSequence: pr.seqs[string(name)], Transactional: pr.txn != ""}
	} else if w.rng.IntN(2) == 0 {
		acks = 1
	}
	b := record.NewBuilder(o)
	var sends []history.Send
	for range w.rng.IntN(3) + 1 {
		s := history.Send{Log: name, Key: fmt.Sprint("k", w.rng.IntN(4)), Value: fmt.Sprint("v", w.number()), Producer: "nobody", Seq: int64(*w.values), Offset: -1, Acks: acks}
		s.Began = w.rec.Tick()
		if pr != nil {
			pr.seq++
			s.Producer, s.Seq, s.Once, s.Txn = pr.name, pr.seq, true, pr.txn
		}
		sends = append(sends, s)
		b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Key: []byte(s.Key), Value: []byte(s.Value), Headers: []record.Header{{Value: bytes.Repeat([]byte{'.'}, w.rng.IntN(300))}}})
	}
	f := flight{acks: acks}
	w.rec.Change(func(h *history.History) {
		for _, s := range sends {
			f.sends = append(f.sends, len(h.Sends))
			h.Sends = append(h.Sends, s)
		}
	})
	pending, err := p.Append(b.Batch(), partition.Client)
	if err != nil {
		w.failed(pr)
		return
	}
	if pr != nil {
		pr.seqs[string(name)] = record.AddSequence(o.BaseSequence, int32(len(sends)))
	}
	f.pending = pending
	w.flight = append(w.flight, f)
}

// failed gives a producer up whose batch failed: it begins anew under another name.
func (w *workload) failed(pr *producer) {
	for k, v := range w.producers {
		if v == pr {
			delete(w.producers, k)
		}
	}
}

// settle waits until at most keep batches are in flight.
func (w *workload) settle(keep int) {
	for len(w.flight) > keep {
		f := w.flight[0]
		w.flight = w.flight[1:]
		done := f.pending.Durable()
		if f.acks == 1 {
			done = f.pending.Written()
		}
		await(w.t, done)
		if f.pending.Err() != nil {
			w.producers = map[string]*producer{}
			continue
		}
		w.rec.Change(func(h *history.History) {
			for i, at := range f.sends {
				s := &h.Sends[at]
				s.Ended, s.Outcome, s.Offset = w.rec.Tick(), history.OK, f.pending.BaseOffset()+int64(i)
			}
		})
	}
}

func await(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing happened for two minutes")
	}
}

// transact goes a step on in a transaction: begins, writes, commits offsets, ends.
func (w *workload) transact() {
	ctx := context.Background()
	id := workTxns[w.rng.IntN(len(workTxns))]
	pr := w.producers[id]
	if pr == nil {
		r := w.n.txns.Init(ctx, id, time.Minute, -1, -1)
		if r.Code != 0 {
			return
		}
		pr = &producer{name: fmt.Sprint(id, "-", w.number()), id: r.ProducerID, epoch: r.Epoch, seqs: map[string]int32{}}
		w.producers[id] = pr
	}
	if pr.txn == "" {
		pr.txn = fmt.Sprint(id, "/", w.number())
		w.rec.Change(func(h *history.History) {
			pr.txnAt = len(h.Txns)
			// Until someone asks to commit it, it must not be.
			h.Txns = append(h.Txns, history.Txn{Span: history.Span{Began: w.rec.Tick()}, Name: pr.txn, Outcome: history.Refused})
		})
	}
	switch w.rng.IntN(5) {
	case 0:
		w.endTxn(id, pr, true)
	case 1:
		w.endTxn(id, pr, false)
	case 2:
		w.commit("in-"+id, pr)
	default:
		p, t, i := w.part("t")
		if p == nil {
			return
		}
		codes := w.n.txns.Write(ctx, id, pr.id, pr.epoch, []txn.Partition{{Topic: t.Name, Index: i}}, true, func(int) { w.append(p, t, i, pr) })
		if codes[0] != 0 {
			w.failed(pr)
		}
	}
}

func (w *workload) endTxn(id string, pr *producer, commit bool) {
	w.settle(0)
	if w.producers[id] != pr {
		return // one of its batches failed
	}
	if commit {
		w.rec.Change(func(h *history.History) { h.Txns[pr.txnAt].Outcome = history.Unknown })
	}
	r := w.n.txns.End(context.Background(), id, pr.id, pr.epoch, commit, 2)
	if r.Code != 0 {
		w.failed(pr)
		return
	}
	w.rec.Change(func(h *history.History) {
		t := &h.Txns[pr.txnAt]
		t.Ended = w.rec.Tick()
		if commit {
			t.Outcome = history.OK
		}
	})
	pr.id, pr.epoch, pr.seqs, pr.txn = r.ProducerID, r.Epoch, map[string]int32{}, ""
}

// commit commits an offset of a group, in a producer's transaction or in none.
func (w *workload) commit(group string, pr *producer) {
	ctx := context.Background()
	t := w.topic("t")
	c := history.Commit{Group: group, Log: logName(t, 0), Offset: int64(w.number())}
	c.Began = w.rec.Tick()
	if pr != nil {
		c.Txn = pr.txn
	}
	at := 0
	w.rec.Change(func(h *history.History) {
		at = len(h.Commits)
		h.Commits = append(h.Commits, c)
	})
	commits := []Commit{{TopicPartition: TopicPartition{t.Name, 0}, Offset: c.Offset}}
	code := int16(0)
	if pr == nil {
		code = w.n.groups.CommitOffsets(ctx, group, nobody(), commits)[0]
	} else {
		var op txn.Partition
		if op, code = w.n.txns.OffsetsPartition(ctx, group); code == 0 {
			codes := w.n.txns.Write(ctx, pr.name[:2], pr.id, pr.epoch, []txn.Partition{op}, true, func(int) {
				code = w.n.groups.CommitTxnOffsets(ctx, group, nobody(), pr.id, pr.epoch, commits)[0]
			})
			code = max(code, codes[0])
		}
	}
	if code != 0 {
		w.failed(pr)
		return
	}
	w.rec.Change(func(h *history.History) { h.Commits[at].Ended, h.Commits[at].Outcome = w.rec.Tick(), history.OK })
}

// fetchOffsets asks for a group's offset.
func (w *workload) fetchOffsets(group string) (code int16) {
	f := history.Fetched{Group: group, Log: logName(w.topic("t"), 0)}
	f.Began = w.rec.Tick()
	out, code := w.n.groups.FetchOffsets(context.Background(), group, Fetcher{MemberEpoch: -1}, []TopicPartition{{"t", 0}}, false)
	if code != 0 {
		return code
	}
	f.Offset = out[0].Offset.Offset
	f.Ended = w.rec.Tick()
	w.rec.Change(func(h *history.History) { h.Fetches = append(h.Fetches, f) })
	return 0
}

// deleteRecords raises the start of the log that may lose its beginning.
func (w *workload) deleteRecords() {
	p, t, i := w.part("retain")
	if p == nil {
		return
	}
	o := p.Offsets()
	start, err := p.DeleteRecords(o.LogStart + min(w.rng.Int64N(3), o.HighWatermark-o.LogStart))
	if err != nil {
		return
	}
	w.rec.Change(func(*history.History) { w.starts[logName(t, i)] = max(w.starts[logName(t, i)], start) })
}

// poll reads some of a log.
func (w *workload) poll() {
	p, t, i := w.part(w.anyTopic())
	if p == nil {
		return
	}
	o := p.Offsets()
	iso := partition.Isolation(w.rng.IntN(2))
	w.read(p, t, i, iso, o.LogStart+w.rng.Int64N(o.HighWatermark-o.LogStart+1), 1000, false)
}

// read reads a log from an offset to its end, or about as far as maxBytes reach.
func (w *workload) read(p *partition.Partition, t *cluster.Topic, index int32, iso partition.Isolation, from int64, maxBytes int, settled bool) {
	r := history.Read{Settled: settled, Log: logName(t, index), From: from, To: from, Committed: iso == partition.ReadCommitted, Compacted: t.Name == "compact"}
	r.Began = w.rec.Tick()
	for maxBytes > 0 {
		res, err := p.Read(r.To, 500, iso, true)
		if err != nil {
			return // a fault, or retention was faster
		}
		r.Start, r.HighWatermark = res.LogStart, res.HighWatermark
		if len(res.Records) == 0 {
			r.Complete = true
			if end := map[partition.Isolation]int64{partition.ReadUncommitted: res.HighWatermark, partition.ReadCommitted: res.LastStable}[iso]; r.To < end {
				w.t.Errorf("%s: nothing is read at %d, the end is %d", r.Log, r.To, end)
			}
			break
		}
		maxBytes -= len(res.Records)
		var aborted []consume.Aborted
		for _, a := range res.Aborted {
			aborted = append(aborted, consume.Aborted(a))
		}
		if err := consume.Take(&r, res.Records, aborted); err != nil {
			w.t.Error(err)
		}
	}
	r.Ended = w.rec.Tick()
	w.rec.Change(func(h *history.History) { h.Reads = append(h.Reads, r) })
}

// each calls f with every partition of the workload's topics.
func (w *workload) each(f func(p *partition.Partition, t *cluster.Topic, index int32)) {
	for _, t := range w.n.cluster.Image().Topics() {
		if _, ours := workTopics[t.Name]; !ours {
			continue
		}
		for i := range t.Partitions() {
			p, err := w.n.topics.Get(t, i)
			if err != nil {
				w.t.Fatalf("%s-%d: %v", t.Name, i, err)
			}
			f(p, t, i)
		}
	}
}

// checkFacts holds topics and log starts against what was acknowledged, and takes
// what is found for granted from now on.
func (w *workload) checkFacts() {
	for name, want := range w.topics {
		got := w.topic(name)
		if want.sure && (want.there != (got != nil) || got != nil && got.ID != want.id) {
			w.t.Errorf("topic %s: found %+v, acknowledged was %+v", name, got, want)
		}
		now := topicState{id: want.id, sure: true}
		if got != nil {
			now = topicState{id: got.ID, there: true, sure: true}
		}
		w.rec.Change(func(*history.History) { w.topics[name] = now })
	}
	w.each(func(p *partition.Partition, t *cluster.Topic, index int32) {
		if start := p.Offsets().LogStart; start < w.starts[logName(t, index)] {
			w.t.Errorf("%s: the log begins at %d, it was to begin at %d", logName(t, index), start, w.starts[logName(t, index)])
		}
	})
}

// wholeTopics makes the topics that are missing, in a fixed order.
func (w *workload) wholeTopics() {
	for _, name := range []string{"t", "deleted", "retain", "compact"} {
		if w.topic(name) == nil && (name != "deleted" || w.rng.IntN(2) == 0) {
			w.create(name)
		}
	}
}

// openTxns tells whether a transaction is open.
func (w *workload) openTxns() bool {
	return slices.ContainsFunc(workTxns, func(id string) bool { return w.producers[id] != nil && w.producers[id].txn != "" })
}
