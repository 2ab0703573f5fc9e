package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/history"
)

// The topics of the load.
var loadTopics = []struct {
	name       string
	partitions int32
	configs    map[string]string
}{
	{"plain", 3, map[string]string{"retention.ms": "-1"}},
	{"txns", 3, map[string]string{"retention.ms": "-1"}},
	{"large", 5, map[string]string{"retention.ms": "-1"}},
	{"retained", 1, map[string]string{"segment.bytes": "1048576", "retention.bytes": "1048576"}},
	{"compacted", 1, map[string]string{"segment.bytes": "1048576", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}},
}

// load is what clients do to the broker, and the history of it.
type load struct {
	t     *testing.T
	ctx   context.Context
	p     *process
	admin *kadm.Client
	rec   history.Recorder

	ids    map[string]kadm.TopicID
	groups []*member
	names  atomic.Int64 // of values, transactions and producers
	large  atomic.Int64 // Produce requests that were sent and that the broker does in parts

	mu      sync.Mutex
	lost    error         // a record given up although retries went on
	start   int64         // least log start of the topic that records are deleted from
	churned *kadm.TopicID // the topic that is made again and again, as it is now; nil = not known
}

// client returns a client that goes on whatever a kill cuts off. Without AlwaysRetryEOF
// one gives its records up when the broker is killed after a connection's first request,
// of metadata, and before its answer.
func (l *load) client(opts ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(l.p.addr), kgo.MetadataMinAge(20 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.RequestRetries(1000), kgo.AlwaysRetryEOF(), kgo.UnknownTopicRetries(-1), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func logName(topic string, partition int32) history.Log {
	return history.Log(fmt.Sprintf("%s-%d", topic, partition))
}

func newLoad(ctx context.Context, t *testing.T, p *process) *load {
	l := &load{t: t, ctx: ctx, p: p, ids: map[string]kadm.TopicID{}}
	l.admin = kadm.NewClient(l.client())
	t.Cleanup(l.admin.Close)
	for _, topic := range loadTopics {
		configs := map[string]*string{}
		for k, v := range topic.configs {
			configs[k] = kadm.StringPtr(v)
		}
		made, err := l.admin.CreateTopic(ctx, topic.partitions, 1, configs, topic.name)
		if err != nil {
			t.Fatal(err)
		}
		l.ids[topic.name] = made.ID
	}
	l.rec.Change(func(h *history.History) {
		h.Whole = map[history.Log]bool{}
		for i := range int32(3) {
			h.Whole[logName("plain", i)], h.Whole[logName("txns", i)] = true, true
		}
		for i := range int32(5) {
			h.Whole[logName("large", i)] = true
		}
	})
	l.groups = []*member{
		{load: l, group: "committers"},
		{load: l, group: "modern", protocol: []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}},
	}
	return l
}

// begin starts the load; stop ends it, once what was sent is answered.
func (l *load) begin() (stop func()) {
	ctx, cancel := context.WithCancel(l.ctx)
	var wg, ready sync.WaitGroup
	idempotent := []kgo.Opt{kgo.MaxBufferedRecords(500)}
	one := []kgo.Opt{kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1), kgo.MaxBufferedRecords(200)}
	for _, p := range []producer{
		{topic: "plain", partitions: 3, acks: -1, burst: 15, opts: idempotent, once: true},
		{topic: "plain", partitions: 3, acks: -1, burst: 5, size: 200, opts: append(one, kgo.RequiredAcks(kgo.AllISRAcks()))},
		{topic: "plain", partitions: 3, acks: 1, burst: 5, opts: append(one, kgo.RequiredAcks(kgo.LeaderAck()))},
		{topic: "plain", partitions: 3, acks: 0, burst: 5, opts: append(one, kgo.RequiredAcks(kgo.NoAck()))},
		{topic: "retained", partitions: 1, acks: -1, burst: 1, size: 8000, opts: idempotent, once: true},
		{topic: "compacted", partitions: 1, acks: -1, burst: 1, size: 8000, opts: idempotent, once: true},
		{topic: "large", partitions: 5, acks: -1, burst: 5, size: 110_000, once: true, together: true,
			opts: []kgo.Opt{kgo.ManualFlushing(), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.WithHooks(l)}},
	} {
		ready.Add(1)
		wg.Go(func() { l.produce(ctx, p, ready.Done) })
	}
	ready.Wait() // a client that is new while the broker is killed may give up
	for i := range 2 {
		wg.Go(func() { l.transact(ctx, fmt.Sprint("id", i)) })
	}
	for _, g := range l.groups {
		wg.Go(func() { g.run(ctx) })
	}
	wg.Go(func() { l.tail(ctx) })
	wg.Go(func() { l.churn(ctx) })
	wg.Go(func() { l.deleteRecords(ctx) })
	return func() {
		cancel()
		wg.Wait()
		if l.lost != nil {
			l.t.Errorf("a record was given up although retries went on: %v", l.lost)
		}
	}
}

// producer is a client that produces.
type producer struct {
	topic      string
	partitions int32
	acks       int16
	once       bool
	burst      int  // records between two pauses of 5 ms
	size       int  // of a record, about
	together   bool // the records of a burst are one request, which is answered before the next
	opts       []kgo.Opt
}

// produce sends bursts of records until ctx ends. It says when the first is answered.
func (l *load) produce(ctx context.Context, p producer, ready func()) {
	c := l.client(append(p.opts, kgo.DefaultProduceTopic(p.topic), kgo.RecordDeliveryTimeout(2*time.Minute), kgo.ProducerLinger(0))...)
	defer c.Close()
	name := fmt.Sprint("p", l.names.Add(1))
	for seq := int64(0); ctx.Err() == nil; seq++ {
		key := seq % 5
		partition := int32(key) % p.partitions
		l.send(c, history.Send{Log: logName(p.topic, partition), Key: fmt.Sprint("k", key), Producer: name, Seq: seq, Acks: p.acks, Once: p.once}, partition, p.size)
		if seq == 0 {
			l.flush(c)
			ready()
		}
		if seq%int64(p.burst) == 0 {
			time.Sleep(5 * time.Millisecond)
			if p.together {
				l.flush(c)
				time.Sleep(95 * time.Millisecond) // it is many bytes
			}
		}
	}
	l.flush(c)
}

// OnBrokerWrite counts the requests that the broker does in parts.
func (l *load) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, bytes int, _, _ time.Duration, err error) {
	if key == 0 && bytes > 512<<10 && err == nil {
		l.large.Add(1)
	}
}

func (l *load) flush(c *kgo.Client) {
	if err := c.Flush(l.ctx); err != nil {
		l.t.Errorf("flush: %v", err)
	}
}

// send sends one record and puts it, and later what became of it, into the history.
func (l *load) send(c *kgo.Client, s history.Send, partition int32, size int) {
	s.Value, s.Offset, s.Began = fmt.Sprint("v", l.names.Add(1)), -1, l.rec.Tick()
	at := 0
	l.rec.Change(func(h *history.History) {
		at = len(h.Sends)
		h.Sends = append(h.Sends, s)
	})
	value := s.Value
	if size > 0 {
		value += " " + strings.Repeat("x", size)
	}
	c.Produce(l.ctx, &kgo.Record{Partition: partition, Key: []byte(s.Key), Value: []byte(value)}, func(r *kgo.Record, err error) {
		if s.Acks == 0 {
			return // nobody told anything
		}
		if err != nil {
			// A transaction may time out while the broker is away, and who deletes and
			// makes topics uses a new client each time.
			if s.Txn == "" && !strings.HasPrefix(string(s.Log), "churn") && l.ctx.Err() == nil {
				l.mu.Lock()
				l.lost = fmt.Errorf("%s of %s: %w", s.Value, s.Log, err)
				l.mu.Unlock()
			}
			return
		}
		l.rec.Change(func(h *history.History) {
			h.Sends[at].Ended, h.Sends[at].Outcome, h.Sends[at].Offset = l.rec.Tick(), history.OK, r.Offset
		})
	})
}

// transact runs transactions of one transactional id, each with a record to every
// partition. A client that is fenced, as its transaction timed out while the broker was
// away, is replaced.
func (l *load) transact(ctx context.Context, id string) {
	for ctx.Err() == nil {
		c := l.client(kgo.TransactionalID(id), kgo.DefaultProduceTopic("txns"), kgo.TransactionTimeout(2*time.Second), kgo.RecordDeliveryTimeout(20*time.Second))
		producer := fmt.Sprint(id, "-", l.names.Add(1))
		for n := int64(0); ctx.Err() == nil; n++ {
			if !l.transaction(c, producer, n) {
				break
			}
		}
		c.Close()
	}
}

func (l *load) transaction(c *kgo.Client, producer string, n int64) (goOn bool) {
	if err := c.BeginTransaction(); err != nil {
		return false
	}
	name, at := fmt.Sprint(producer, "/", n), 0
	l.rec.Change(func(h *history.History) {
		at = len(h.Txns)
		// Until someone asks to commit it, it must not be.
		h.Txns = append(h.Txns, history.Txn{Span: history.Span{Began: l.rec.Tick()}, Name: name, Outcome: history.Refused})
	})
	for p := range int32(3) {
		l.send(c, history.Send{Log: logName("txns", p), Key: "k", Producer: producer, Seq: n, Acks: -1, Once: true, Txn: name}, p, 0)
	}
	commit := c.Flush(l.ctx) == nil && n%4 != 3
	if commit {
		l.rec.Change(func(h *history.History) { h.Txns[at].Outcome = history.Unknown })
	}
	if err := c.EndTransaction(l.ctx, kgo.TransactionEndTry(commit)); err != nil {
		return false
	}
	l.rec.Change(func(h *history.History) {
		h.Txns[at].Ended = l.rec.Tick()
		if commit {
			h.Txns[at].Outcome = history.OK
		}
	})
	return true
}

// member consumes in a group and commits.
type member struct {
	*load
	group    string
	protocol []kgo.Opt
	commits  atomic.Int64 // acknowledged
}

func (m *member) run(ctx context.Context) {
	c := m.client(append([]kgo.Opt{kgo.ConsumerGroup(m.group), kgo.ConsumeTopics("plain"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(100 * time.Millisecond)}, m.protocol...)...)
	defer c.Close()
	for ctx.Err() == nil {
		c.PollRecords(ctx, 200)
		m.commit(ctx, c)
	}
}

// commit commits where the member is.
func (m *member) commit(ctx context.Context, c *kgo.Client) {
	offsets := c.UncommittedOffsets()
	at := map[int32]int{}
	m.rec.Change(func(h *history.History) {
		for p, o := range offsets["plain"] {
			at[p] = len(h.Commits)
			h.Commits = append(h.Commits, history.Commit{Span: history.Span{Began: m.rec.Tick()}, Group: m.group, Log: logName("plain", p), Offset: o.Offset})
		}
	})
	c.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return // the broker is down; the next commit covers this one
		}
		m.rec.Change(func(h *history.History) {
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					if p.ErrorCode == 0 {
						k := &h.Commits[at[p.Partition]]
						k.Ended, k.Outcome = m.rec.Tick(), history.OK
						m.commits.Add(1)
					}
				}
			}
		})
	})
}

// fetchOffsets asks where the groups are, by a client of its own, which has no
// connections to the broker that was killed.
func (l *load) fetchOffsets() {
	c := l.client()
	defer c.Close()
	for _, g := range l.groups {
		began := l.rec.Tick()
		offsets, err := kadm.NewClient(c).FetchOffsets(l.ctx, g.group)
		if err != nil {
			l.t.Fatal(err)
		}
		ended := l.rec.Tick()
		l.rec.Change(func(h *history.History) {
			for p := range int32(3) {
				f := history.Fetched{Span: history.Span{Began: began, Ended: ended}, Group: g.group, Log: logName("plain", p), Offset: -1}
				if o, ok := offsets.Lookup("plain", p); ok {
					f.Offset = o.At
				}
				h.Fetches = append(h.Fetches, f)
			}
		})
	}
}

// churn deletes a topic, makes it again and writes to it.
func (l *load) churn(ctx context.Context) {
	admin := kadm.NewClient(l.client())
	defer admin.Close()
	for ctx.Err() == nil {
		l.mu.Lock()
		l.churned = nil // not known while it changes
		l.mu.Unlock()
		resp, err := admin.DeleteTopic(ctx, "churn")
		if err = errors.Join(err, resp.Err); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue
		}
		made, err := admin.CreateTopic(ctx, 1, 1, nil, "churn")
		if err != nil {
			continue // if it is there all the same, it goes again
		}
		id := made.ID
		c := l.client(kgo.DefaultProduceTopic("churn"))
		for seq := range int64(5) {
			l.send(c, history.Send{Log: logName("churn#"+id.String(), 0), Key: "k", Producer: id.String(), Seq: seq, Acks: -1, Once: true}, 0, 0)
		}
		err = c.Flush(l.ctx)
		c.Close()
		l.mu.Lock()
		if err == nil {
			l.churned = &id
		}
		l.mu.Unlock()
	}
}

// deleteRecords deletes the beginning of a log.
func (l *load) deleteRecords(ctx context.Context) {
	admin := kadm.NewClient(l.client())
	defer admin.Close()
	for ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		starts, err := admin.ListStartOffsets(ctx, "retained")
		o, ok := starts.Lookup("retained", 0)
		if err != nil || !ok || o.Err != nil {
			continue
		}
		var to kadm.Offsets
		to.AddOffset("retained", 0, o.Offset+3, -1)
		resp, err := admin.DeleteRecords(ctx, to)
		if r, ok := resp.Lookup("retained", 0); err == nil && ok && r.Err == nil {
			l.mu.Lock()
			l.start = max(l.start, r.LowWatermark)
			l.mu.Unlock()
		}
	}
}

// waitForAll waits until everyone has got something done, where there was time for it.
func (l *load) waitForAll(enough bool) {
	if !enough {
		return
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		missing := map[string]bool{}
		for _, g := range l.groups {
			missing["a commit of group "+g.group] = g.commits.Load() == 0
		}
		h := l.rec.Snapshot()
		missing["a large request"] = l.large.Load() == 0
		missing["a committed transaction"] = true
		for _, x := range h.Txns {
			if x.Outcome == history.OK {
				missing["a committed transaction"] = false
			}
		}
		maps.DeleteFunc(missing, func(_ string, is bool) bool { return !is })
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("within three minutes after the kills there was not: %v", missing)
		}
	}
}

// checkTopics looks for the topics that were made, with their settings.
func (l *load) checkTopics(names []string) {
	for _, name := range names {
		i, _ := strconv.Atoi(strings.TrimPrefix(name, "made-"))
		configs, err := l.admin.DescribeTopicConfigs(l.ctx, name)
		if err != nil {
			l.t.Fatal(err)
		}
		if configs[0].Err != nil {
			l.t.Errorf("topic %s: %v", name, configs[0].Err)
		}
		for _, c := range configs[0].Configs {
			if c.Key == "segment.bytes" && c.MaybeValue() != strconv.Itoa(1<<20+i) {
				l.t.Errorf("topic %s has segment.bytes %s", name, c.MaybeValue())
			}
		}
	}
}

// count says how much there was to check.
func (l *load) count(h *history.History) string {
	acked, txns := 0, map[history.Outcome]int{}
	for i := range h.Sends {
		if h.Sends[i].Outcome == history.OK {
			acked++
		}
	}
	for _, x := range h.Txns {
		txns[x.Outcome]++
	}
	return fmt.Sprintf("%d records sent, %d acknowledged; transactions: %d committed, %d aborted, %d not heard of; %d commits, %d reads, %d large requests",
		len(h.Sends), acked, txns[history.OK], txns[history.Refused], txns[history.Unknown], len(h.Commits), len(h.Reads), l.large.Load())
}
