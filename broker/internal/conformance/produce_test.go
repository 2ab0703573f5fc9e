package conformance

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

func idempotent(pid int64, epoch int16, seq int32) record.Options {
	return record.Options{Idempotent: true, ProducerID: pid, ProducerEpoch: epoch, BaseSequence: seq}
}

func TestProduceVersions(t *testing.T) {
	c := dial(t, start(t).Addr())
	id := c.create("t", 1)
	for v := int16(3); v <= 13; v++ {
		for _, acks := range []int16{1, -1} {
			req := produceRequest("t", 0, acks, batch(record.Options{}, "a", "b"))
			req.Topics[0].TopicID = id
			resp := ask[*kmsg.ProduceResponse](c, v, req)
			p := resp.Topics[0].Partitions[0]
			if want := int64(v-3)*4 + map[int16]int64{1: 0, -1: 2}[acks]; p.ErrorCode != 0 || p.BaseOffset != want {
				t.Fatalf("v%d acks %d: code %d, offset %d, want %d", v, acks, p.ErrorCode, p.BaseOffset, want)
			}
			if v >= 13 && resp.Topics[0].TopicID != id {
				t.Errorf("v%d: the answer is for topic %x", v, resp.Topics[0].TopicID)
			}
		}
	}
}

// TestProduceWithoutAcks: no answer at all; the next request's answer is the next.
// A failure has no other way to show than the end of the connection.
func TestProduceWithoutAcks(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1)
	for range 3 {
		req := produceRequest("t", 0, 0, batch(record.Options{}, "x"))
		req.SetVersion(9)
		c.send(req)
	}
	if p := c.produce("t", batch(record.Options{}, "y")); p.BaseOffset != 3 {
		t.Fatalf("offset %d after three records", p.BaseOffset)
	}
	req := produceRequest("missing", 0, 0, batch(record.Options{}, "x"))
	req.SetVersion(9)
	c.send(req)
	c.closed()
}

// TestPipelining: requests sent without waiting are answered in order, each once.
func TestPipelining(t *testing.T) {
	c := dial(t, start(t).Addr())
	c.create("t", 1)
	type sent struct {
		req kmsg.Request
		id  int32
	}
	var queue []sent
	for i := range 100 {
		var req kmsg.Request = produceRequest("t", 0, -1, batch(record.Options{}, "x"))
		switch i % 10 {
		case 3:
			req = produceRequest("t", 0, 0, batch(record.Options{}, "x"))
		case 5:
			req = kmsg.NewPtrMetadataRequest()
		}
		req.SetVersion(9)
		id := c.send(req)
		if i%10 != 3 {
			queue = append(queue, sent{req, id})
		}
	}
	last := int64(-1)
	for _, s := range queue {
		if resp, ok := c.receive(s.req, s.id).(*kmsg.ProduceResponse); ok {
			at := resp.Topics[0].Partitions[0].BaseOffset
			if at <= last {
				t.Fatalf("offset %d after %d", at, last)
			}
			last = at
		}
	}
}

func TestProduceRefuses(t *testing.T) {
	c := dial(t, start(t).Addr())
	c.create("t", 1)
	c.create("compacted", 1, "cleanup.policy", "compact")
	c.create("small", 1, "max.message.bytes", "200")
	keyless := record.NewBuilder(record.Options{})
	keyless.Add(record.Record{Value: []byte("v")})
	damaged := batch(record.Options{}, "x")
	damaged[len(damaged)-1]++
	old := batch(record.Options{}, "x")
	old[16] = 1
	for _, r := range []struct {
		name    string
		topic   string
		acks    int16
		records []byte
		want    int16
	}{
		{"an unknown topic", "missing", -1, batch(record.Options{}, "x"), 3},
		{"impossible acks", "t", 2, batch(record.Options{}, "x"), 21},
		{"a damaged batch", "t", -1, damaged, 2},
		{"a batch of an old format", "t", -1, old, 87},
		{"two batches", "t", -1, append(batch(record.Options{}, "x"), batch(record.Options{}, "y")...), 87},
		{"a control batch", "t", -1, batch(record.Options{Control: true}, "x"), 87},
		{"no key on a compacted topic", "compacted", -1, keyless.Batch(), 87},
		{"a batch over max.message.bytes", "small", -1, batch(record.Options{}, string(make([]byte, 300))), 10},
		{"an internal topic", "__consumer_offsets", -1, batch(record.Options{}, "x"), 3},
		{"half a batch", "t", -1, batch(record.Options{}, "xyz")[:70], 87},
	} {
		p := ask[*kmsg.ProduceResponse](c, 9, produceRequest(r.topic, 0, r.acks, r.records)).Topics[0].Partitions[0]
		if p.ErrorCode != r.want || p.BaseOffset != -1 {
			t.Errorf("%s: code %d at offset %d, want %d", r.name, p.ErrorCode, p.BaseOffset, r.want)
		}
		if r.name == "no key on a compacted topic" && len(p.ErrorRecords) != 1 {
			t.Errorf("%s: the records at fault are %+v", r.name, p.ErrorRecords)
		}
	}
	if p := ask[*kmsg.ProduceResponse](c, 9, produceRequest("t", 7, -1, batch(record.Options{}, "x"))).Topics[0].Partitions[0]; p.ErrorCode != 3 {
		t.Errorf("an unknown partition: code %d", p.ErrorCode)
	}
	bad := produceRequest("", 0, -1, batch(record.Options{}, "x"))
	bad.Topics[0].TopicID = [16]byte{9}
	if p := ask[*kmsg.ProduceResponse](c, 13, bad).Topics[0].Partitions[0]; p.ErrorCode != 100 {
		t.Errorf("an unknown topic id: code %d", p.ErrorCode)
	}
}

// TestIdempotence: the rules of sequences, in one story.
func TestIdempotence(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1)
	check := func(name string, o record.Options, n int, wantCode int16, wantOffset int64) {
		t.Helper()
		p := c.produce("t", batch(o, make([]string, n)...))
		if p.ErrorCode != wantCode || (wantCode == 0 && p.BaseOffset != wantOffset) {
			t.Errorf("%s: code %d, offset %d; want %d, %d", name, p.ErrorCode, p.BaseOffset, wantCode, wantOffset)
		}
	}
	check("an unknown producer may begin anywhere", idempotent(7, 0, 40), 2, 0, 0)
	check("the next one", idempotent(7, 0, 42), 3, 0, 2)
	check("a duplicate gets the first one's offset", idempotent(7, 0, 40), 2, 0, 0)
	check("a gap", idempotent(7, 0, 46), 1, 45, 0)
	check("a part of a batch is no duplicate", idempotent(7, 0, 42), 2, 45, 0)
	check("the next epoch begins at 0", idempotent(7, 1, 5), 1, 45, 0)
	check("the next epoch", idempotent(7, 1, 0), 1, 0, 5)
	check("the old epoch", idempotent(7, 0, 45), 1, 47, 0)
	for i := range int32(6) {
		check("six more", idempotent(7, 1, 1+i), 1, 0, int64(6+i))
	}
	check("the fifth last is remembered", idempotent(7, 1, 2), 1, 0, 7)
	check("the sixth last is not", idempotent(7, 1, 1), 1, 45, 0)
	check("before the sequence wraps", idempotent(8, 0, 1<<31-2), 2, 0, 12)
	check("after it wrapped", idempotent(8, 0, 0), 1, 0, 14)
	b.Restart()
	c = dial(t, b.Addr())
	check("a duplicate after a restart", idempotent(7, 1, 6), 1, 0, 11)
	check("the next one after a restart", idempotent(7, 1, 7), 1, 0, 15)
	check("a gap after a restart", idempotent(7, 1, 9), 1, 45, 0)
}

// TestProducerIDs: each is handed out once, over restarts too.
func TestProducerIDs(t *testing.T) {
	b := start(t)
	seen := map[int64]bool{}
	for range 3 {
		c := dial(t, b.Addr())
		for v := int16(0); v <= 5; v++ {
			resp := ask[*kmsg.InitProducerIDResponse](c, v, kmsg.NewPtrInitProducerIDRequest())
			if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] || resp.ProducerID < 0 {
				t.Fatalf("v%d: %+v", v, resp)
			}
			seen[resp.ProducerID] = true
		}
		b.Restart()
	}
}
