package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/history/consume"
)

// fetch reads one answer of a log into r, from its To on.
func (l *load) fetch(ctx context.Context, c *kgo.Client, topic kadm.TopicID, partition int32, r *history.Read) (more bool, err error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 1, 4<<20, -1
	if r.Committed {
		req.IsolationLevel = 1
	}
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rt.TopicID = topic
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = partition, r.To, 4<<20, -1, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		return false, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return false, fmt.Errorf("%s: the answer has no partition, code %d", r.Log, resp.ErrorCode)
	}
	p := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return false, err
	}
	r.HighWatermark, r.Start = p.HighWatermark, p.LogStartOffset
	var aborted []consume.Aborted
	for _, a := range p.AbortedTransactions {
		aborted = append(aborted, consume.Aborted{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
	}
	if err := consume.Take(r, p.RecordBatches, aborted); err != nil {
		l.t.Error(err)
		return false, err
	}
	end := p.HighWatermark
	if r.Committed {
		end = p.LastStableOffset
	}
	if len(p.RecordBatches) == 0 && r.To < end {
		l.t.Errorf("%s: nothing is read at %d, the end is %d", r.Log, r.To, end)
	}
	return len(p.RecordBatches) > 0, nil
}

// tail reads two topics as they grow, with both isolation levels.
func (l *load) tail(ctx context.Context) {
	c := l.client()
	defer c.Close()
	next := map[string]int64{}
	for ctx.Err() == nil {
		idle := true
		for _, topic := range []string{"plain", "txns"} {
			for p := range int32(3) {
				for _, committed := range []bool{false, true} {
					id := fmt.Sprint(topic, p, committed)
					r := history.Read{Log: logName(topic, p), From: next[id], To: next[id], Committed: committed}
					r.Began = l.rec.Tick()
					if _, err := l.fetch(ctx, c, l.ids[topic], p, &r); err != nil || r.To == r.From {
						continue
					}
					r.Ended, next[id], idle = l.rec.Tick(), r.To, false
					l.rec.Change(func(h *history.History) { h.Reads = append(h.Reads, r) })
				}
			}
		}
		if idle {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// readAll reads everything from beginning to end, once no transaction is open.
func (l *load) readAll() {
	l.settle()
	l.fetchOffsets()
	c := l.client()
	defer c.Close()
	for _, topic := range loadTopics {
		for p := range topic.partitions {
			l.readLog(c, topic.name, l.ids[topic.name], p, logName(topic.name, p), topic.name == "compacted")
		}
	}
	if l.churned == nil {
		return
	}
	topics, err := l.admin.ListTopics(l.ctx, "churn")
	if err != nil {
		l.t.Fatal(err)
	}
	got := topics["churn"]
	if got.Err != nil || got.ID != *l.churned {
		l.t.Errorf("topic churn is %v (%v), it was made as %v", got.ID, got.Err, *l.churned)
		return
	}
	l.readLog(c, "churn", got.ID, 0, logName("churn#"+l.churned.String(), 0), false)
}

// readLog reads a log with both isolation levels.
func (l *load) readLog(c *kgo.Client, topic string, id kadm.TopicID, partition int32, log history.Log, compacted bool) {
	starts, err := l.admin.ListStartOffsets(l.ctx, topic)
	if err != nil {
		l.t.Fatal(err)
	}
	start, _ := starts.Lookup(topic, partition)
	if topic == "retained" && start.Offset < l.start {
		l.t.Errorf("%s: the log begins at %d, %d was acknowledged", log, start.Offset, l.start)
	}
	for _, committed := range []bool{false, true} {
		r := history.Read{Log: log, From: start.Offset, To: start.Offset, Committed: committed, Compacted: compacted, Complete: true, Settled: true}
		r.Began = l.rec.Tick()
		for more := true; more; {
			if more, err = l.fetch(l.ctx, c, id, partition, &r); err != nil {
				l.t.Fatalf("%s: reading at %d: %v", log, r.To, err)
			}
		}
		r.Ended = l.rec.Tick()
		l.rec.Change(func(h *history.History) { h.Reads = append(h.Reads, r) })
	}
}

// settle waits until abandoned transactions have timed out, and all that is written
// is stable.
func (l *load) settle() {
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ends, err := l.admin.ListEndOffsets(l.ctx, "txns")
		if err != nil {
			l.t.Fatal(err)
		}
		stable, err := l.admin.ListCommittedOffsets(l.ctx, "txns")
		if err != nil {
			l.t.Fatal(err)
		}
		open := false
		ends.Each(func(o kadm.ListedOffset) {
			s, _ := stable.Lookup("txns", o.Partition)
			open = open || s.Offset != o.Offset
		})
		if !open {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatal("a transaction stays open")
		}
	}
}
