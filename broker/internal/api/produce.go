package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// produce stages every batch of the request, which fixes their order, and leaves
// the waiting for the disk to the reply: the connection's next request may be
// staged meanwhile.
func (h *Handler) produce(c *call) (Reply, error) {
	req, err := wire.ParseProduce(c.req.Version, c.req.Body)
	if err != nil {
		return nil, fmt.Errorf("produce: %w", err)
	}
	resp := &wire.ProduceResponse{Topics: make([]wire.ProduceTopicResponse, len(req.Topics))}
	var pending []*partition.Pending // in the order of the answers; nil where refused
	refusedAll := errcode.None
	if req.Acks < -1 || req.Acks > 1 {
		refusedAll = errcode.InvalidRequiredAcks
	}
	if req.TransactionalID != nil {
		refusedAll = errcode.TransactionalIDAuthorizationFailed
	}
	failed := false
	for i := range req.Topics {
		t := &req.Topics[i]
		out := &resp.Topics[i]
		out.Name, out.ID = t.Name, t.ID
		topic, code := h.produceTopic(c, t)
		if refusedAll != errcode.None {
			code = refusedAll
		}
		out.Partitions = make([]wire.ProducePartitionResponse, len(t.Partitions))
		for j, p := range t.Partitions {
			a := &out.Partitions[j]
			*a = wire.ProducePartitionResponse{Index: p.Index, ErrorCode: code, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
			var staged *partition.Pending
			if code == errcode.None {
				staged = h.stage(topic, p, a)
			}
			failed = failed || a.ErrorCode != errcode.None
			pending = append(pending, staged)
		}
	}
	if req.Acks == 0 {
		// There is no response to say it in, so the connection says that it failed.
		if failed {
			return nil, errors.New("a produce request with acks=0 failed")
		}
		return nil, ErrNoReply
	}
	deadline := time.Now().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	return func(ctx context.Context, v *wire.Vec) error {
		if err := finishProduce(ctx, resp, pending, req.Acks, deadline); err != nil {
			return err
		}
		v.Append(func(dst []byte) []byte {
			return resp.AppendTo(wire.AppendResponseHeader(dst, c.req), c.req.Version)
		})
		return nil
	}, nil
}

func (h *Handler) produceTopic(c *call, t *wire.ProduceTopic) (*cluster.Topic, int16) {
	topic, missing := c.img.Topic(t.Name), errcode.UnknownTopicOrPartition
	if c.req.Version >= 13 {
		topic, missing = c.img.TopicByID(t.ID), errcode.UnknownTopicID
	}
	switch {
	case topic == nil:
		return nil, missing
	case !h.allowed(c, auth.Write, auth.Topic, topic.Name):
		return nil, errcode.TopicAuthorizationFailed
	case cluster.IsInternal(topic.Name) && c.req.ClientID != "__admin_client":
		return nil, errcode.InvalidTopic
	}
	return topic, errcode.None
}

// stage appends one partition's batch and fills in what is known at once.
func (h *Handler) stage(topic *cluster.Topic, p wire.ProducePartition, a *wire.ProducePartitionResponse) *partition.Pending {
	part, err := h.topics.Get(topic, p.Index)
	var staged *partition.Pending
	if err == nil {
		staged, err = part.Append(p.Records, partition.Client)
	}
	if err != nil {
		h.refuse(a, err)
		return nil
	}
	a.BaseOffset, a.LogAppendTime = staged.BaseOffset(), staged.LogAppendTime()
	a.LogStartOffset = part.Offsets().LogStart
	return staged
}

// refuse puts an append's error into its answer.
func (h *Handler) refuse(a *wire.ProducePartitionResponse, err error) {
	a.BaseOffset, a.LogAppendTime = -1, -1
	var coded *record.Error
	if !errors.As(err, &coded) {
		h.log.Error("append failed", "err", err)
		a.ErrorCode = errcode.UnknownServerError
		return
	}
	a.ErrorCode = coded.Code
	if coded.Msg != "" {
		a.ErrorMessage = &coded.Msg
	}
	for _, r := range coded.Records {
		a.RecordErrors = append(a.RecordErrors, wire.RecordError{Index: r.Index, Message: &r.Msg})
	}
}

// finishProduce waits until what was staged is written (acks=1) or below the high
// watermark (acks=all), and turns into errors what is not in time.
func finishProduce(ctx context.Context, resp *wire.ProduceResponse, pending []*partition.Pending, acks int16, deadline time.Time) error {
	var timer *time.Timer
	var late <-chan time.Time
	n := 0
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			a, staged := &resp.Topics[i].Partitions[j], pending[n]
			n++
			if staged == nil {
				continue
			}
			done := staged.Durable()
			if acks == 1 {
				done = staged.Written()
			}
			select {
			case <-done:
			default:
				if timer == nil {
					timer = time.NewTimer(time.Until(deadline))
					defer timer.Stop()
					late = timer.C
				}
				select {
				case <-done:
				case <-late:
					closed := make(chan time.Time)
					close(closed)
					late = closed // the others are late as well
					a.ErrorCode, a.BaseOffset = errcode.RequestTimedOut, -1
					continue
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := staged.Err(); err != nil {
				a.ErrorCode, a.BaseOffset, a.LogAppendTime = errcode.KafkaStorageError, -1, -1
				var coded *record.Error
				if errors.As(err, &coded) {
					a.ErrorCode = coded.Code
				}
				msg := err.Error()
				a.ErrorMessage = &msg
			}
		}
	}
	return nil
}
