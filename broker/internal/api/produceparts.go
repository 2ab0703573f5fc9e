package api

import (
	"context"
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// produceParts is produce of a large request, which is staged while it comes in: each
// batch is checked and written when its bytes have just been received, and the next is
// read then. A request that breaks off has been done in part, as one whose answer is lost
// has been done as a whole: its client knows of neither and sends it again.
func (h *Handler) produceParts(c *call) (Reply, error) {
	c.pause() // while it reads
	defer c.resume()
	defer h.chargeProduce(c) // at the end, for what has come by then
	in := wire.NewProduceReader(c.req)
	req, err := in.Start()
	if err != nil {
		return nil, fmt.Errorf("produce: %w", err)
	}
	resp := &wire.ProduceResponse{}
	var stages []stage
	failed := false
	for {
		t, ok, err := in.Topic()
		if err != nil {
			return nil, fmt.Errorf("produce: %w", err)
		}
		if !ok {
			break
		}
		n := len(resp.Topics)
		resp.Topics = append(resp.Topics, wire.ProduceTopicResponse{Name: t.Name, ID: t.ID})
		for {
			p, ok, err := in.Partition()
			if err != nil {
				return nil, fmt.Errorf("produce: %w", err)
			}
			if !ok {
				break
			}
			s := stage{in: p, version: c.req.Version, at: n, own: p.Records}
			c.resume()
			h.stagePart(c, req.Acks, &t, &s)
			s.giveBack(c.req.Rest)
			c.pause()
			failed = failed || s.out.ErrorCode != errcode.None
			stages = append(stages, s)
		}
	}
	// The beginning only, and nothing aliases it. What is claimed for it stays so, so that
	// the claim goes with the answer: what gives back the rest is the writer's.
	wire.PutBuffer(c.req.Frame)
	_, c.Waits = progress(stages, req.Acks)
	if req.Acks == 0 {
		if failed {
			return nil, errFailedUnanswered
		}
		return nil, ErrNoReply
	}
	deadline := time.Now().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	return func(ctx context.Context, v *wire.Vec) error {
		if err := finishProduce(ctx, stages, req.Acks, deadline, &h.parked.produces); err != nil {
			return err
		}
		for i := range stages {
			s := &stages[i]
			s.giveBack(c.req.Rest)
			t := &resp.Topics[s.at]
			t.Partitions = append(t.Partitions, *s.out)
		}
		resp.ThrottleMillis = c.throttleMillis()
		v.Append(func(dst []byte) []byte {
			return resp.AppendTo(wire.AppendResponseHeader(dst, c.req), c.req.Version)
		})
		return nil
	}, nil
}

// stagePart stages one partition's batch.
func (h *Handler) stagePart(c *call, acks int16, t *wire.ProduceTopic, s *stage) {
	c.img = h.cluster.Image() // the client may have taken its time
	topic, code := h.produceTopic(c, t)
	switch info, err := record.ParseHeader(s.in.Records); {
	case acks < -1 || acks > 1:
		code = errcode.InvalidRequiredAcks
	case err == nil && info.Transactional():
		code = errcode.TransactionalIDAuthorizationFailed
	case code == errcode.None && acks == -1 && c.img.LacksReplicas(topic):
		code = errcode.NotEnoughReplicas
	}
	s.topic = topic
	s.out = &wire.ProducePartitionResponse{Index: s.in.Index, ErrorCode: code, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
	if code == errcode.None {
		h.stage(s)
	}
}

// giveBack gives back the records' buffer, once they are written.
func (s *stage) giveBack(to *wire.Rest) {
	if written, _ := s.progress(); written && s.own != nil {
		to.GiveBack(s.own)
		s.own, s.in.Records = nil, nil
	}
}
