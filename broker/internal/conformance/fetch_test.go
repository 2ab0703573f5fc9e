package conformance

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

func fetchOne(c *conn, version int16, req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	resp := ask[*kmsg.FetchResponse](c, version, req)
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		c.t.Fatalf("fetch v%d: code %d, %+v", version, resp.ErrorCode, resp.Topics)
	}
	return resp.Topics[0].Partitions[0]
}

func TestFetchVersions(t *testing.T) {
	c := dial(t, start(t).Addr())
	id := c.create("t", 1)
	c.produce("t", batch(record.Options{}, "a", "b", "c"))
	for v := int16(4); v <= 18; v++ {
		req := fetchRequest("t", 0)
		req.Topics[0].TopicID = id
		p := fetchOne(c, v, req)
		if got := values(t, p.RecordBatches); !slices.Equal(got, []string{"a", "b", "c"}) || p.HighWatermark != 3 || p.LastStableOffset != 3 {
			t.Fatalf("v%d: %q, %+v", v, got, p)
		}
	}
}

// TestFetchInsideBatch: the whole batch comes; the client skips. Giving the next
// batch instead would lose records.
func TestFetchInsideBatch(t *testing.T) {
	c := dial(t, start(t).Addr())
	c.create("t", 1)
	c.produce("t", batch(record.Options{}, "a", "b", "c"))
	c.produce("t", batch(record.Options{}, "d"))
	p := fetchOne(c, 11, fetchRequest("t", 2))
	if got := values(t, p.RecordBatches); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Fatalf("%q", got)
	}
}

func TestFetchLimits(t *testing.T) {
	c := dial(t, start(t).Addr())
	c.create("t", 1)
	c.create("u", 1)
	for range 4 {
		c.produce("t", batch(record.Options{}, string(make([]byte, 1000))))
		c.produce("u", batch(record.Options{}, string(make([]byte, 1000))))
	}
	// One batch at least comes, over every limit; a second one does not.
	req := fetchRequest("t", 0)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 1, 1
	if p := fetchOne(c, 11, req); len(values(t, p.RecordBatches)) != 1 {
		t.Errorf("%d records under a limit of one byte", len(values(t, p.RecordBatches)))
	}
	// Only for the first partition that has any.
	req = fetchRequest("t", 4)
	req.MaxBytes = 1
	for range 2 {
		more := fetchRequest("u", 0).Topics[0]
		req.Topics = append(req.Topics, more)
	}
	resp := ask[*kmsg.FetchResponse](c, 11, req)
	var counts []int
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			counts = append(counts, len(values(t, p.RecordBatches)))
		}
	}
	if !slices.Equal(counts, []int{0, 1, 0}) {
		t.Errorf("records per partition are %v", counts)
	}
}

func TestFetchOutOfRange(t *testing.T) {
	c := dial(t, start(t).Addr())
	c.create("t", 1)
	c.produce("t", batch(record.Options{}, "a", "b"))
	for offset, want := range map[int64]int16{-1: 1, 0: 0, 2: 0, 3: 1} {
		p := fetchOne(c, 11, fetchRequest("t", offset))
		if p.ErrorCode != want || p.HighWatermark != 2 || p.LogStartOffset != 0 {
			t.Errorf("offset %d: code %d, marks %d %d; want code %d", offset, p.ErrorCode, p.LogStartOffset, p.HighWatermark, want)
		}
	}
}

// TestLongPoll: a fetch at the end waits; it is answered by the first append, at
// the end of its time, or at once where there is something to tell.
func TestLongPoll(t *testing.T) {
	b := start(t)
	c, producer := dial(t, b.Addr()), dial(t, b.Addr())
	c.create("t", 1)
	wait := func(edit func(*kmsg.FetchRequest)) (kmsg.FetchResponseTopicPartition, time.Duration) {
		req := fetchRequest("t", 0)
		req.MaxWaitMillis = 600_000 // the connection's deadline is earlier
		edit(req)
		req.SetVersion(11)
		began := time.Now()
		p := fetchOne(c, 11, req)
		return p, time.Since(began)
	}
	if _, took := wait(func(r *kmsg.FetchRequest) { r.MaxWaitMillis = 150 }); took < 150*time.Millisecond {
		t.Errorf("a fetch with 150 ms to wait took %s", took)
	}
	for name, edit := range map[string]func(*kmsg.FetchRequest){
		"no wait":           func(r *kmsg.FetchRequest) { r.MaxWaitMillis = 0 },
		"no bytes":          func(r *kmsg.FetchRequest) { r.MinBytes = 0 },
		"an error":          func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = 9 },
		"unknown partition": func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].Partition = 9 },
		"unknown topic":     func(r *kmsg.FetchRequest) { r.Topics[0].Topic = "missing" },
	} {
		t.Log(name) // the last that is named waited
		wait(edit)
	}
	// Woken by appends, but only once there are enough bytes.
	req := fetchRequest("t", 0)
	req.MaxWaitMillis, req.MinBytes = 600_000, 500
	req.SetVersion(11)
	id := c.send(req)
	producer.produce("t", batch(record.Options{}, "small"))
	producer.produce("t", batch(record.Options{}, string(make([]byte, 600))))
	resp := c.receive(req, id).(*kmsg.FetchResponse)
	if got := values(t, resp.Topics[0].Partitions[0].RecordBatches); len(got) != 2 {
		t.Errorf("woken with %d records", len(got))
	}
}

// TestLeaderEpochs: every start raises them; a client that knows an old one is
// fenced, one that knows a later one is told so.
func TestLeaderEpochs(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1)
	c.produce("t", batch(record.Options{}, "a", "b"))
	b.Restart()
	c = dial(t, b.Addr())
	c.produce("t", batch(record.Options{}, "c"))
	for epoch, want := range map[int32]int16{-1: 0, 0: 74, 1: 0, 2: 75} {
		req := fetchRequest("t", 0)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		if p := fetchOne(c, 11, req); p.ErrorCode != want {
			t.Errorf("epoch %d: code %d, want %d", epoch, p.ErrorCode, want)
		}
	}
	for epoch, want := range map[int32][2]int64{0: {0, 2}, 1: {1, 3}, 9: {-1, -1}} {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.CurrentLeaderEpoch, rp.LeaderEpoch = -1, epoch
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		for v := int16(2); v <= 4; v++ {
			p := ask[*kmsg.OffsetForLeaderEpochResponse](c, v, req).Topics[0].Partitions[0]
			if p.ErrorCode != 0 || int64(p.LeaderEpoch) != want[0] || p.EndOffset != want[1] {
				t.Errorf("v%d epoch %d: %+v, want %v", v, epoch, p, want)
			}
		}
	}
	// A client whose log went on in an epoch that ended earlier here has diverged.
	req := fetchRequest("t", 3)
	req.Topics[0].Partitions[0].LastFetchedEpoch = 0
	if p := fetchOne(c, 12, req); p.DivergingEpoch.Epoch != 0 || p.DivergingEpoch.EndOffset != 2 {
		t.Errorf("diverging epoch is %+v", p.DivergingEpoch)
	}
}

// TestFetchSessionIsBounded: a session that names more partitions than the broker may have
// is none, and one that comes to name so many ends. What is asked for is answered.
func TestFetchSessionIsBounded(t *testing.T) {
	const most = 20
	b := start(t, func(c *broker.Config) { c.MaxPartitions = most })
	c := dial(t, b.Addr())
	c.create("t", 1)
	fetch := func(session, epoch int32, from, to int32) *kmsg.FetchResponse {
		req := fetchRequest("t", 0)
		req.SessionID, req.SessionEpoch = session, epoch
		one := req.Topics[0].Partitions[0]
		req.Topics[0].Partitions = nil
		for one.Partition = from; one.Partition < to; one.Partition++ {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, one)
		}
		return ask[*kmsg.FetchResponse](c, 11, req)
	}
	if resp := fetch(0, 0, 0, most+1); resp.SessionID != 0 || resp.ErrorCode != 0 || len(resp.Topics[0].Partitions) != most+1 {
		t.Errorf("a session of too many: id %d, code %d", resp.SessionID, resp.ErrorCode)
	}
	s := fetch(0, 0, 0, most-1)
	if s.SessionID == 0 {
		t.Fatal("no session")
	}
	expect(t, "one more", fetch(s.SessionID, 1, most-1, most).ErrorCode, 0)
	expect(t, "one too many", fetch(s.SessionID, 2, most, most+1).ErrorCode, 70)
	expect(t, "the session afterwards", fetch(s.SessionID, 2, 0, 1).ErrorCode, 70)
	hits(t, b, "fetch_sessions")
}

// TestFetchSessionForgetsLongNames: what no topic can be called is answered, and a session
// does not keep it, as what is wrong with it would be told in every answer again.
func TestFetchSessionForgetsLongNames(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1)
	fetch := func(session, epoch int32, names ...string) *kmsg.FetchResponse {
		t.Helper()
		req := kmsg.NewPtrFetchRequest()
		req.MaxBytes, req.SessionID, req.SessionEpoch = 1<<20, session, epoch
		for _, name := range names {
			req.Topics = append(req.Topics, fetchRequest(name, 0).Topics[0])
		}
		resp := ask[*kmsg.FetchResponse](c, 12, req)
		expect(t, "a fetch", resp.ErrorCode, 0)
		for _, name := range names {
			if i := slices.IndexFunc(resp.Topics, func(rt kmsg.FetchResponseTopic) bool { return rt.Topic == name }); len(name) > 1 &&
				(i < 0 || resp.Topics[i].Partitions[0].ErrorCode != 3) {
				t.Errorf("a name of %d characters is not told to be unknown", len(name))
			}
		}
		return resp
	}
	longest, tooLong, veryLong := strings.Repeat("x", 249), strings.Repeat("y", 250), strings.Repeat("z", 900_000)
	if s := fetch(0, 0, tooLong); s.SessionID != 0 {
		t.Error("a session of nothing")
	}
	s := fetch(0, 0, tooLong, "t", veryLong)
	if s.SessionID == 0 {
		t.Fatal("no session")
	}
	fetch(s.SessionID, 1, veryLong)
	fetch(s.SessionID, 2, longest, tooLong)
	if got := fetch(s.SessionID, 3).Topics; len(got) != 1 || got[0].Topic != longest {
		t.Errorf("told again of %d topics, and not of one", len(got))
	}
	hits(t, b, "topic_name")
}

// TestFetchSession: incremental sessions as KIP-227 has them.
func TestFetchSession(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 3)
	req := fetchRequest("t", 0)
	req.Topics[0].Partitions = nil
	for i := range int32(3) {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = i, 1<<20, -1
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	req.SessionID, req.SessionEpoch = 0, 0
	full := ask[*kmsg.FetchResponse](c, 11, req)
	if full.SessionID == 0 || len(full.Topics[0].Partitions) != 3 {
		t.Fatalf("a new session: %+v", full)
	}
	epoch := int32(0)
	next := func(edit func(*kmsg.FetchRequest)) *kmsg.FetchResponse {
		t.Helper()
		epoch++
		r := kmsg.NewPtrFetchRequest()
		r.MinBytes, r.MaxBytes, r.SessionID, r.SessionEpoch = 1, 1<<20, full.SessionID, epoch
		if edit != nil {
			edit(r)
		}
		return ask[*kmsg.FetchResponse](c, 11, r)
	}
	told := func(r *kmsg.FetchResponse) (out []int32) {
		for _, rt := range r.Topics {
			for _, p := range rt.Partitions {
				out = append(out, p.Partition)
			}
		}
		return out
	}
	if got := told(next(nil)); len(got) != 0 {
		t.Errorf("nothing changed, told of %v", got)
	}
	produce := dial(t, b.Addr())
	ask[*kmsg.ProduceResponse](produce, 9, produceRequest("t", 1, -1, batch(record.Options{}, "x")))
	r := next(nil)
	if got := told(r); !slices.Equal(got, []int32{1}) || len(r.Topics[0].Partitions[0].RecordBatches) == 0 {
		t.Errorf("partition 1 has a record, told of %v", got)
	}
	// The client has it and says so: nothing more.
	if got := told(next(func(r *kmsg.FetchRequest) {
		rt := fetchRequest("t", 1).Topics[0]
		rt.Partitions[0].Partition = 1
		r.Topics = append(r.Topics, rt)
	})); len(got) != 0 {
		t.Errorf("after the record, told of %v", got)
	}
	// A beginning that has moved is news as well.
	del := kmsg.NewPtrDeleteRecordsRequest()
	del.TimeoutMillis = 5000
	del.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 1, Offset: 1}}}}
	expect(t, "delete records", ask[*kmsg.DeleteRecordsResponse](produce, 2, del).Topics[0].Partitions[0].ErrorCode, 0)
	if r := next(nil); !slices.Equal(told(r), []int32{1}) || r.Topics[0].Partitions[0].LogStartOffset != 1 {
		t.Errorf("the beginning has moved, told %+v", r.Topics)
	}
	if got := told(next(nil)); len(got) != 0 {
		t.Errorf("told again of %v", got)
	}
	// A partition is forgotten, and its records are no news any more.
	next(func(r *kmsg.FetchRequest) {
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.Partitions = "t", []int32{2}
		r.ForgottenTopics = append(r.ForgottenTopics, f)
	})
	ask[*kmsg.ProduceResponse](produce, 9, produceRequest("t", 2, -1, batch(record.Options{}, "x")))
	if got := told(next(nil)); len(got) != 0 {
		t.Errorf("a forgotten partition: told of %v", got)
	}
	// An error is told every time.
	for range 2 {
		if got := told(next(func(r *kmsg.FetchRequest) {
			rt := fetchRequest("t", 99).Topics[0]
			r.Topics = append(r.Topics, rt)
		})); !slices.Equal(got, []int32{0}) {
			t.Errorf("an offset out of range: told of %v", got)
		}
	}
	// And that it is over, once.
	if got := told(next(func(r *kmsg.FetchRequest) { r.Topics = append(r.Topics, fetchRequest("t", 0).Topics[0]) })); !slices.Equal(got, []int32{0}) {
		t.Errorf("the offset is in range again: told of %v", got)
	}
	if got := told(next(nil)); len(got) != 0 {
		t.Errorf("told of it again: %v", got)
	}
	// A wrong epoch, a wrong session, and topic ids in a session of names.
	for _, bad := range []struct {
		version int16
		session int32
		epoch   int32
		want    int16
	}{
		{11, full.SessionID, epoch + 5, 71},
		{11, full.SessionID + 1, 1, 70},
		{13, full.SessionID, epoch + 1, 106},
	} {
		r := kmsg.NewPtrFetchRequest()
		r.SessionID, r.SessionEpoch = bad.session, bad.epoch
		if got := ask[*kmsg.FetchResponse](c, bad.version, r).ErrorCode; got != bad.want {
			t.Errorf("session %d epoch %d v%d: code %d, want %d", bad.session, bad.epoch, bad.version, got, bad.want)
		}
	}
	// Epoch -1 ends it.
	r2 := kmsg.NewPtrFetchRequest()
	r2.SessionID, r2.SessionEpoch = full.SessionID, -1
	ask[*kmsg.FetchResponse](c, 11, r2)
	if got := next(nil).ErrorCode; got != 70 {
		t.Errorf("an ended session: code %d", got)
	}
}

// TestFetchSessionOfAnother: nobody goes on with, or ends, the session of another.
func TestFetchSessionOfAnother(t *testing.T) {
	b := start(t, secured)
	alice, admin := loggedIn(t, b.Addr(), "alice", "wonder"), loggedIn(t, b.Addr(), "admin", "secret")
	alice.create("t", 1)
	req := fetchRequest("t", 0)
	req.SessionEpoch = 0
	id := ask[*kmsg.FetchResponse](alice, 11, req).SessionID
	next := func(c *conn, epoch int32) int16 {
		r := kmsg.NewPtrFetchRequest()
		r.SessionID, r.SessionEpoch = id, epoch
		return ask[*kmsg.FetchResponse](c, 11, r).ErrorCode
	}
	expect(t, "another goes on with it", next(admin, 1), 70)
	next(admin, -1)
	expect(t, "its own client goes on with it", next(alice, 1), 0)
}

// TestFetchSessionTakesTurns: where an answer has room for one partition only, the
// next answer has another one.
func TestFetchSessionTakesTurns(t *testing.T) {
	c := dial(t, start(t).Addr())
	c.create("t", 3)
	req := fetchRequest("t", 0)
	req.Topics[0].Partitions = nil
	for i := range int32(3) {
		for range 2 {
			p := ask[*kmsg.ProduceResponse](c, 9, produceRequest("t", i, -1, batch(record.Options{}, "x")))
			expect(t, "produce", p.Topics[0].Partitions[0].ErrorCode, 0)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = i, 1, -1
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	req.SessionID, req.SessionEpoch, req.MaxBytes = 0, 0, 1
	var served []int32
	for epoch := range int32(6) {
		resp := ask[*kmsg.FetchResponse](c, 11, req)
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				if len(p.RecordBatches) > 0 {
					served = append(served, p.Partition)
				}
			}
		}
		// Nothing new is said: the client has not got further anywhere.
		req = kmsg.NewPtrFetchRequest()
		req.MinBytes, req.MaxBytes, req.SessionID, req.SessionEpoch = 1, 1, resp.SessionID, epoch+1
	}
	if want := []int32{0, 1, 2, 0, 1, 2}; !slices.Equal(served, want) {
		t.Errorf("served in the order %v, want %v", served, want)
	}
}

// TestRecreatedTopic: a new id; the old one is unknown, and in a session it is
// said that the topic is another now.
func TestRecreatedTopic(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	old := c.create("t", 1)
	c.produce("t", batch(idempotent(5, 0, 0), "a"))
	req := fetchRequest("", 0)
	req.Topics[0].TopicID, req.SessionEpoch = old, 0
	first := ask[*kmsg.FetchResponse](c, 13, req)
	del := kmsg.NewPtrDeleteTopicsRequest()
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.TopicID = old
	del.Topics = append(del.Topics, dt)
	if got := ask[*kmsg.DeleteTopicsResponse](c, 6, del).Topics[0]; got.ErrorCode != 0 || got.Topic == nil || *got.Topic != "t" {
		t.Fatalf("delete: %+v", got)
	}
	id := c.create("t", 1)
	if id == old {
		t.Fatal("the new topic has the old id")
	}
	again := kmsg.NewPtrFetchRequest()
	again.SessionID, again.SessionEpoch, again.MaxBytes = first.SessionID, 1, 1<<20
	if p := fetchOne(c, 13, again); p.ErrorCode != 103 {
		t.Errorf("the old id in a session: code %d", p.ErrorCode)
	}
	// Its producers are forgotten with it: sequence 7 is not out of order.
	if p := c.produce("t", batch(idempotent(5, 0, 7), "b")); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("produce: %+v", p)
	}
}
