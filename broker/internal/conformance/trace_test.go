package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// traced starts a broker that tells a channel what was produced.
func traced(t *testing.T, flush broker.FlushPolicy) (*conn, <-chan broker.ProduceTrace) {
	t.Helper()
	traces := make(chan broker.ProduceTrace, 16)
	b := start(t, func(c *broker.Config) {
		c.Flush = flush
		c.Trace = func(p broker.ProduceTrace) { traces <- p }
	})
	c := dial(t, b.Addr())
	c.create("traced", 1)
	return c, traces
}

// tracedBatch has two records, the second with a trace context.
func tracedBatch(codec record.Codec, sequence int32) []byte {
	b := record.NewBuilder(record.Options{Codec: codec, Idempotent: true, ProducerID: 7, BaseSequence: sequence})
	b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte("plain")})
	b.Add(record.Record{
		Timestamp: time.Now().UnixMilli(), Value: []byte("traced"),
		Headers: []record.Header{{Key: "ce_id", Value: []byte("1")}, {Key: "traceparent", Value: []byte("00-a-b-01")}},
	})
	return b.Batch()
}

// TestTrace: the hook is told of each batch, with its records' trace contexts,
// also out of compressed ones, and with the times that its answer waited for.
func TestTrace(t *testing.T) {
	c, traces := traced(t, broker.FlushGroup)
	for i, codec := range []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		if got := c.produce("traced", tracedBatch(codec, int32(2*i))); got.ErrorCode != 0 {
			t.Fatalf("%v: error %d", codec, got.ErrorCode)
		}
		p := <-traces
		if p.Topic != "traced" || p.Partition != 0 || p.BaseOffset != int64(2*i) || p.Records != 2 || p.Acks != -1 || p.Duplicate || p.ErrorCode != 0 || p.Bytes == 0 {
			t.Errorf("%v: %+v", codec, p)
		}
		if !slices.Equal(p.TraceParents, []string{"", "00-a-b-01"}) {
			t.Errorf("%v: contexts %q", codec, p.TraceParents)
		}
		if p.Received.IsZero() || p.Written.Before(p.Received) || p.Durable.Before(p.Written) || p.Answered.Before(p.Durable) {
			t.Errorf("%v: received %v, written %v, durable %v, answered %v", codec, p.Received, p.Written, p.Durable, p.Answered)
		}
	}

	// What the client sends again is known by it.
	if got := c.produce("traced", tracedBatch(record.None, 8)); got.ErrorCode != 0 || got.BaseOffset != 8 {
		t.Errorf("duplicate: error %d, offset %d", got.ErrorCode, got.BaseOffset)
	}
	if p := <-traces; !p.Duplicate || p.BaseOffset != 8 || p.Durable.IsZero() {
		t.Errorf("duplicate: %+v", p)
	}
	// What was refused has its error and no times.
	damaged := tracedBatch(record.None, 10)
	damaged[len(damaged)-1]++
	code := c.produce("traced", damaged).ErrorCode
	if p := <-traces; code == 0 || p.ErrorCode != code || p.BaseOffset != -1 || !p.Written.IsZero() || !p.Durable.IsZero() {
		t.Errorf("refused with %d: %+v", code, p)
	}
	if got := c.produce("traced", []byte("nonsense")); got.ErrorCode == 0 {
		t.Error("nonsense was taken")
	}
	if p := <-traces; p.TraceParents != nil {
		t.Errorf("nonsense: %+v", p)
	}
}

// TestTraceOfWhatIsNotWaitedFor: a time is there only if the answer waited for it.
func TestTraceOfWhatIsNotWaitedFor(t *testing.T) {
	c, traces := traced(t, broker.FlushGroup)
	send := func(acks int16, sequence int32) *kmsg.ProduceRequest {
		req := produceRequest("traced", 0, acks, tracedBatch(record.None, sequence))
		req.SetVersion(9)
		return req
	}
	c.send(send(0, 0))
	if p := <-traces; p.Acks != 0 || !p.Written.IsZero() && p.Written.Before(p.Received) || len(p.TraceParents) != 2 {
		t.Errorf("acks=0: %+v", p)
	}
	req := send(1, 2)
	c.receive(req, c.send(req))
	if p := <-traces; p.Acks != 1 || p.Written.IsZero() {
		t.Errorf("acks=1: %+v", p)
	}

	c, traces = traced(t, broker.FlushOS)
	c.produce("traced", tracedBatch(record.None, 0))
	if p := <-traces; p.Written.IsZero() || !p.Durable.IsZero() {
		t.Errorf("a policy that does not sync: %+v", p)
	}
}
