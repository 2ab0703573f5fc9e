package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// producer is a transactional producer that does exactly what it is told.
type producer struct {
	*conn
	id    string
	pid   int64
	epoch int16
	seq   int32
	last  int64 // offset of the newest record
}

// settled asks again where a transaction before it was not at its end within five
// seconds, for which the broker waits: then the machine stood still. An answer that asks
// to come back any sooner is returned.
func settled(t testing.TB, ask func() int16) int16 {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		began := time.Now()
		if code := ask(); code != kerr.ConcurrentTransactions.Code || time.Since(began) < 5*time.Second {
			return code
		}
		if time.Now().After(deadline) {
			t.Fatal("for two minutes a transaction has not come to its end")
		}
	}
}

func (p *producer) init(timeout time.Duration) int16 {
	p.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &p.id, int32(timeout.Milliseconds())
	return settled(p.t, func() int16 {
		resp := ask[*kmsg.InitProducerIDResponse](p.conn, 5, req)
		if resp.ErrorCode == 0 {
			p.pid, p.epoch, p.seq = resp.ProducerID, resp.ProducerEpoch, 0
		}
		return resp.ErrorCode
	})
}

func (p *producer) add(topic string, partition int32) int16 {
	p.t.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.id, p.pid, p.epoch
	req.Topics = append(req.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: topic, Partitions: []int32{partition}})
	return settled(p.t, func() int16 {
		return ask[*kmsg.AddPartitionsToTxnResponse](p.conn, 3, req).Topics[0].Partitions[0].ErrorCode
	})
}

// send appends one record in the transaction.
func (p *producer) produce(version int16, topic string, id [16]byte, value string) int16 {
	p.t.Helper()
	req := produceRequest(topic, 0, -1, batch(record.Options{
		Idempotent: true, ProducerID: p.pid, ProducerEpoch: p.epoch, BaseSequence: p.seq, Transactional: true}, value))
	req.TransactionID, req.Topics[0].TopicID = &p.id, id
	return settled(p.t, func() int16 {
		part := ask[*kmsg.ProduceResponse](p.conn, version, req).Topics[0].Partitions[0]
		if part.ErrorCode == 0 {
			p.seq, p.last = p.seq+1, part.BaseOffset
		}
		return part.ErrorCode
	})
}

func (p *producer) end(version int16, commit bool) int16 {
	p.t.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.id, p.pid, p.epoch, commit
	return settled(p.t, func() int16 {
		resp := ask[*kmsg.EndTxnResponse](p.conn, version, req)
		if resp.ErrorCode == 0 && version >= 5 {
			p.pid, p.epoch, p.seq = resp.ProducerID, resp.ProducerEpoch, 0
		}
		return resp.ErrorCode
	})
}

func expect(t *testing.T, what string, got, want int16) {
	t.Helper()
	if got != want {
		t.Errorf("%s: code %d, want %d", what, got, want)
	}
}

// committed reads what a read_committed consumer may see, and the marks.
func committed(c *conn, topic string) ([]string, kmsg.FetchResponseTopicPartition) {
	c.t.Helper()
	req := fetchRequest(topic, 0)
	req.IsolationLevel = 1
	p := fetchOne(c, 11, req)
	aborted := map[int64][]int64{}
	for _, a := range p.AbortedTransactions {
		aborted[a.ProducerID] = append(aborted[a.ProducerID], a.FirstOffset)
	}
	if !slices.IsSortedFunc(p.AbortedTransactions, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return int(a.FirstOffset - b.FirstOffset)
	}) {
		c.t.Error("the aborted transactions are not in the order of their offsets")
	}
	var out []string
	dropping := map[int64]bool{}
	record.Each(p.RecordBatches, func(b []byte) bool {
		var r record.Reader
		if err := r.Reset(b, 0); err != nil {
			c.t.Fatal(err)
		}
		info := r.Info()
		if info.Control() {
			delete(dropping, info.ProducerID)
			return true
		}
		if a := aborted[info.ProducerID]; len(a) > 0 && a[0] <= info.BaseOffset {
			dropping[info.ProducerID] = true
			aborted[info.ProducerID] = a[1:]
		}
		var rec record.Record
		for !dropping[info.ProducerID] && r.Next(&rec) {
			out = append(out, string(rec.Value))
		}
		return true
	})
	return out, p
}

func TestTransactionVersion1(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	p := &producer{conn: c, id: "one"}
	expect(t, "init", p.init(time.Minute), 0)
	expect(t, "a batch before its partition", p.produce(9, "t", id, "x"), 48)
	expect(t, "the same, for a client that knows the new code", p.produce(11, "t", id, "x"), 120)
	expect(t, "an unknown topic", p.add("missing", 0), 3)
	expect(t, "add", p.add("t", 0), 0)
	expect(t, "a batch", p.produce(9, "t", id, "a"), 0)
	if got, marks := committed(c, "t"); len(got) != 0 || marks.LastStableOffset != 0 || marks.HighWatermark != 1 {
		t.Errorf("an open transaction shows %q, last stable offset %d", got, marks.LastStableOffset)
	}
	for isolation, want := range map[int8]int64{0: 1, 1: 0} {
		if l := listOffset(c, 7, -1, func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = isolation }); l.Offset != want {
			t.Errorf("the end at isolation level %d is %d, want %d", isolation, l.Offset, want)
		}
		for _, at := range []int64{0, -3} { // by time, and by the largest: not in the open transaction either
			if l := listOffset(c, 7, at, func(r *kmsg.ListOffsetsRequest) { r.IsolationLevel = isolation }); l.Offset != want-1 || (l.Timestamp < 0) != (want == 0) {
				t.Errorf("asked for %d at isolation level %d: offset %d, time %d; want offset %d", at, isolation, l.Offset, l.Timestamp, want-1)
			}
		}
	}
	expect(t, "commit", p.end(3, true), 0)
	expect(t, "commit again", p.end(3, true), 0)
	expect(t, "abort what is committed", p.end(3, false), 48)
	expect(t, "add again", p.add("t", 0), 0)
	expect(t, "another batch", p.produce(9, "t", id, "b"), 0)
	expect(t, "abort", p.end(3, false), 0)
	// The next transaction waits for the markers of this one, instead of failing.
	expect(t, "add at once", p.add("t", 0), 0)
	expect(t, "a third batch", p.produce(9, "t", id, "c"), 0)
	expect(t, "commit", p.end(3, true), 0)
	expect(t, "add at once", p.add("t", 0), 0) // waits until "c" is committed
	if got, _ := committed(c, "t"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("committed are %q", got)
	}
	if got := values(t, fetchOne(c, 11, fetchRequest("t", 0)).RecordBatches); len(got) != 6 {
		t.Errorf("read_uncommitted sees %q", got)
	}
	// A transactional batch without a transactional id, and one of another producer.
	bare := produceRequest("t", 0, -1, batch(record.Options{Idempotent: true, ProducerID: p.pid, ProducerEpoch: p.epoch, BaseSequence: p.seq, Transactional: true}, "x"))
	expect(t, "no transactional id", ask[*kmsg.ProduceResponse](c, 9, bare).Topics[0].Partitions[0].ErrorCode, 53)
	stranger := &producer{conn: c, id: "one", pid: p.pid + 1}
	expect(t, "another producer id", stranger.produce(9, "t", id, "x"), 49)
	expect(t, "another transactional id", (&producer{conn: c, id: "two", pid: p.pid}).end(3, true), 49)
}

// TestFencing: a second producer of the id ends the first one's transaction; what
// the first still sends is refused.
func TestFencing(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	first, second := &producer{conn: c, id: "x"}, &producer{conn: dial(t, b.Addr()), id: "x"}
	expect(t, "init", first.init(time.Minute), 0)
	expect(t, "add", first.add("t", 0), 0)
	expect(t, "batch", first.produce(9, "t", id, "lost"), 0)
	expect(t, "the second one", second.init(time.Minute), 0)
	if second.pid != first.pid || second.epoch <= first.epoch {
		t.Errorf("the second has %d/%d, the first %d/%d", second.pid, second.epoch, first.pid, first.epoch)
	}
	expect(t, "a late batch", first.produce(9, "t", id, "late"), 47)
	expect(t, "a late commit", first.end(3, true), 90)
	expect(t, "a late commit of an old client", first.end(1, true), 47)
	expect(t, "a late add", first.add("t", 0), 90)
	if got, marks := committed(c, "t"); len(got) != 0 || marks.LastStableOffset != 2 {
		t.Errorf("%q, last stable offset %d", got, marks.LastStableOffset)
	}
	expect(t, "no timeout", (&producer{conn: c, id: "y"}).init(0), 50)
	expect(t, "a timeout too long", (&producer{conn: c, id: "y"}).init(time.Hour), 50)
}

func TestTransactionVersion2(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	p := &producer{conn: c, id: "two"}
	expect(t, "init", p.init(time.Minute), 0)
	var want []string
	for i, commit := range []bool{true, false, true, true} {
		before := *p
		value := string(rune('a' + i))
		expect(t, "a batch adds its partition", p.produce(12, "t", id, value), 0)
		expect(t, "end", p.end(5, commit), 0)
		if p.epoch != before.epoch+1 {
			t.Errorf("the epoch went from %d to %d", before.epoch, p.epoch)
		}
		again := before
		expect(t, "a lost answer is given again", again.end(5, commit), 0)
		if again.epoch != p.epoch {
			t.Errorf("the second answer has epoch %d, the first %d", again.epoch, p.epoch)
		}
		expect(t, "a batch of the old epoch", before.produce(12, "t", id, "late"), 47)
		if commit {
			want = append(want, value)
		}
	}
	expect(t, "a commit of nothing", p.end(5, true), 48)
	expect(t, "an abort of nothing", p.end(5, false), 0)
	expect(t, "init", p.init(time.Minute), 0) // waits for the markers
	if got, _ := committed(c, "t"); !slices.Equal(got, want) {
		t.Errorf("committed are %q, want %q", got, want)
	}
}

// TestTransactionOffsets: offsets in a transaction count when it commits, are
// unstable before, and come back after a restart in each of the three states.
func TestTransactionOffsets(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	p := &producer{conn: c, id: "offsets"}
	expect(t, "init", p.init(time.Minute), 0)
	commit := func(version int16, offset int64) int16 {
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = p.id, "g", p.pid, p.epoch, -1
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic, rt.TopicID = "t", id
		rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		rp.Offset, rp.Metadata = offset, kmsg.StringPtr("m")
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.TxnOffsetCommitResponse](p.conn, version, req).Topics[0].Partitions[0].ErrorCode
	}
	fetch := func(stable bool) (int64, int16) {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberEpoch = "g", -1
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
		req.Groups, req.RequireStable = append(req.Groups, g), stable
		r := ask[*kmsg.OffsetFetchResponse](p.conn, 8, req).Groups[0].Topics[0].Partitions[0]
		return r.Offset, r.ErrorCode
	}
	restart := func() {
		b.Restart()
		p.conn = dial(t, b.Addr())
	}
	expect(t, "before the group is in the transaction", commit(3, 5), 48)
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = p.id, p.pid, p.epoch, "g"
	expect(t, "add", ask[*kmsg.AddOffsetsToTxnResponse](p.conn, 3, add).ErrorCode, 0)
	expect(t, "commit", commit(3, 5), 0)
	for range 2 {
		if o, code := fetch(true); o != -1 || code != 88 {
			t.Errorf("open: %d, code %d", o, code)
		}
		if o, code := fetch(false); o != -1 || code != 0 {
			t.Errorf("open, read as it is: %d, code %d", o, code)
		}
		restart()
	}
	expect(t, "end", p.end(3, true), 0)
	expect(t, "init", p.init(time.Minute), 0)
	for range 2 {
		if o, code := fetch(true); o != 5 || code != 0 {
			t.Errorf("committed: %d, code %d", o, code)
		}
		restart()
	}
	expect(t, "version 5 adds the group by itself", commit(5, 9), 0)
	// Who asks for all offsets is told as well which of them may change.
	for stable, want := range map[bool]int16{true: 88, false: 0} {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberEpoch = "g", -1
		req.Groups, req.RequireStable = append(req.Groups, g), stable
		expect(t, "all offsets, one of them in a transaction", ask[*kmsg.OffsetFetchResponse](p.conn, 8, req).Groups[0].Topics[0].Partitions[0].ErrorCode, want)
	}
	expect(t, "abort", p.end(5, false), 0)
	expect(t, "init", p.init(time.Minute), 0)
	restart()
	if o, code := fetch(true); o != 5 || code != 0 {
		t.Errorf("aborted: %d, code %d", o, code)
	}
	// A member's generation fences, as in a plain commit.
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation, req.MemberID = p.id, "g", p.pid, p.epoch, 3, "stranger"
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.Partitions = "t", []kmsg.TxnOffsetCommitRequestTopicPartition{{Offset: 1}}
	req.Topics = append(req.Topics, rt)
	expect(t, "a stranger", ask[*kmsg.TxnOffsetCommitResponse](p.conn, 5, req).Topics[0].Partitions[0].ErrorCode, 25)
}

// TestTransactionTimeout: an abandoned transaction ends by itself, also one from
// before a restart.
func TestTransactionTimeout(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.TransactionMaxTimeout = time.Minute })
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	for _, restart := range []bool{false, true} {
		p := &producer{conn: c, id: "slow"}
		for timeout := 300 * time.Millisecond; ; timeout *= 2 {
			began := time.Now()
			expect(t, "init", p.init(timeout), 0)
			code := p.produce(12, "t", id, "x")
			if code != 0 && time.Since(began) > timeout {
				continue // it has ended before the record came: the machine is slow
			}
			expect(t, "batch", code, 0)
			break
		}
		if restart {
			b.Restart()
			c = dial(t, b.Addr())
			p.conn = c
		}
		want := p.last + 2 // the record and a marker
		deadline := time.Now().Add(2 * time.Minute)
		for {
			_, marks := committed(c, "t")
			if marks.LastStableOffset == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the last stable offset stays at %d", marks.LastStableOffset)
			}
			time.Sleep(10 * time.Millisecond)
		}
		expect(t, "a late commit", p.end(3, true), 90)
		list := kmsg.NewPtrListTransactionsRequest()
		list.DurationFilterMillis = -1
		for { // the markers are there; the id says so a moment later
			states := ask[*kmsg.ListTransactionsResponse](c, 2, list).TransactionStates
			if len(states) == 1 && states[0].TransactionState == "CompleteAbort" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("listed are %+v", states)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestDescribeTransactions(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	p := &producer{conn: c, id: "seen"}
	expect(t, "init", p.init(time.Minute), 0)
	expect(t, "batch", p.produce(12, "t", id, "x"), 0)
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{"seen", "missing"}
	states := ask[*kmsg.DescribeTransactionsResponse](c, 0, req).TransactionStates
	if s := states[0]; s.State != "Ongoing" || s.ProducerID != p.pid || s.TimeoutMillis != 60000 || len(s.Topics) != 1 || s.Topics[0].Topic != "t" || s.StartTimestamp <= 0 {
		t.Errorf("%+v", s)
	}
	expect(t, "a missing id", states[1].ErrorCode, 105)
	producers := kmsg.NewPtrDescribeProducersRequest()
	producers.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0, 9}}}
	parts := ask[*kmsg.DescribeProducersResponse](c, 0, producers).Topics[0].Partitions
	if len(parts[0].ActiveProducers) != 1 || parts[0].ActiveProducers[0].ProducerID != p.pid || parts[0].ActiveProducers[0].CurrentTxnStartOffset != 0 {
		t.Errorf("%+v", parts[0])
	}
	expect(t, "a missing partition", parts[1].ErrorCode, 3)
	// An administrator ends it by hand.
	markers := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch = p.pid, p.epoch, 0
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "t", Partitions: []int32{0, 9}}}
	markers.Markers = append(markers.Markers, m)
	ended := ask[*kmsg.WriteTxnMarkersResponse](c, 1, markers).Markers[0].Topics[0].Partitions
	expect(t, "the marker", ended[0].ErrorCode, 0)
	expect(t, "the marker in a missing partition", ended[1].ErrorCode, 3)
	if _, marks := committed(c, "t"); marks.LastStableOffset != 2 {
		t.Errorf("the last stable offset is %d", marks.LastStableOffset)
	}
}

// TestTransactionOverRecreatedTopic: a topic is deleted and made again while a
// transaction is open in it. The transaction ends, and leaves nothing open.
func TestTransactionOverRecreatedTopic(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	other := c.create("other", 1)
	p := &producer{conn: c, id: "x"}
	expect(t, "init", p.init(time.Minute), 0)
	expect(t, "batch", p.produce(12, "t", id, "gone"), 0)
	expect(t, "batch elsewhere", p.produce(12, "other", other, "kept"), 0)
	del := kmsg.NewPtrDeleteTopicsRequest()
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.TopicID = id
	del.Topics = append(del.Topics, dt)
	expect(t, "delete", ask[*kmsg.DeleteTopicsResponse](c, 6, del).Topics[0].ErrorCode, 0)
	id = c.create("t", 1)
	expect(t, "commit", p.end(5, true), 0)
	expect(t, "init", p.init(time.Minute), 0) // waits for the markers
	if got, _ := committed(c, "other"); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("committed elsewhere are %q", got)
	}
	expect(t, "batch to the new topic", p.produce(12, "t", id, "new"), 0)
	expect(t, "commit", p.end(5, true), 0)
	expect(t, "init", p.init(time.Minute), 0)
	got, marks := committed(c, "t")
	if !slices.Equal(got, []string{"new"}) || marks.LastStableOffset != marks.HighWatermark {
		t.Errorf("committed are %q, stable up to %d of %d", got, marks.LastStableOffset, marks.HighWatermark)
	}
}
