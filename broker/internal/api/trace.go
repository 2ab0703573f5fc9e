package api

import (
	"context"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// ProduceTrace is what became of one partition's batch in a produce request. The
// package broker has it under the same name, where its fields are explained.
type ProduceTrace struct {
	ClientID     string
	Topic        string
	Partition    int32
	BaseOffset   int64
	Records      int
	Bytes        int
	Acks         int16
	Duplicate    bool
	ErrorCode    int16
	TraceParents []string

	Received, Written, Durable, Answered time.Time
}

// traceDecode bounds what is decompressed of a batch to find its trace headers.
const traceDecode = 4 << 20

// traceProduce reports the batches of a request: at once where nothing is
// answered, else when reply has waited for them.
//
// All of tracing's cost is behind this call, which is made with Config.Trace only.
func (h *Handler) traceProduce(c *call, received time.Time, stages []stage, acks int16, reply Reply) Reply {
	traces := make([]ProduceTrace, len(stages))
	for i := range stages {
		s := &stages[i]
		t := &traces[i]
		*t = ProduceTrace{
			ClientID: c.req.ClientID, Partition: s.in.Index, Bytes: len(s.in.Records), Acks: acks, Received: received,
		}
		if s.topic != nil {
			t.Topic = s.topic.Name
		}
		if s.pending != nil {
			t.Duplicate = s.pending.Watch()
		}
	}
	report := func() {
		now := time.Now()
		for i := range traces {
			t, s := &traces[i], &stages[i]
			t.BaseOffset, t.ErrorCode, t.Answered = s.out.BaseOffset, s.out.ErrorCode, now
			if s.pending != nil && t.ErrorCode == errcode.None {
				t.Written, t.Durable = s.pending.Times()
			}
			if !h.cfg.Synced {
				t.Durable = time.Time{}
			}
			h.cfg.Trace(*t)
		}
	}
	read := func() {
		for i := range traces {
			traces[i].Records, traces[i].TraceParents = traceParents(stages[i].in.Records)
		}
	}
	if reply == nil {
		read()
		report()
		return nil
	}
	return func(ctx context.Context, v *wire.Vec) error {
		read() // before reply gives the frame back
		err := reply(ctx, v)
		report()
		return err
	}
}

// traceParents returns how many records a batch has and the header traceparent of
// each, "" where there is none; nil if the records cannot be read.
func traceParents(batch []byte) (count int, parents []string) {
	var r record.Reader
	if err := r.Reset(batch, traceDecode); err != nil {
		return int(r.Info().Count), nil
	}
	var rec record.Record
	parents = []string{} // it is read, even if it has no record
	for r.Next(&rec) {
		parent := ""
		for _, h := range rec.Headers {
			if h.Key == "traceparent" {
				parent = string(h.Value)
			}
		}
		parents = append(parents, parent)
	}
	if r.Err() != nil {
		return int(r.Info().Count), nil
	}
	return len(parents), parents
}
