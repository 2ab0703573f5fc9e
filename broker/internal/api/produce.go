package api

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/txn"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// produce stages every batch of the request, which fixes their order, and leaves
// the waiting for syncs to the reply: the connection's next request may be staged
// meanwhile. Large batches are written when they are staged; the time of that, and of
// waiting for others who write to the partition, is this request's, as in Kafka.
func (h *Handler) produce(ctx context.Context, c *call) (Reply, error) {
	if c.req.Rest != nil && h.cfg.Trace == nil && h.cfg.RecordCheck == nil {
		return h.produceParts(c)
	}
	if c.req.Rest != nil {
		c.pause()
		err := c.req.Whole()
		c.resume()
		if err != nil {
			h.chargeProduce(c)
			return nil, err
		}
	}
	var received time.Time
	if h.cfg.Trace != nil {
		received = time.Now()
	}
	req, err := wire.ParseProduce(c.req.Version, c.req.Body)
	if err != nil {
		return nil, fmt.Errorf("produce: %w", err)
	}
	h.chargeProduce(c)
	resp := &wire.ProduceResponse{Topics: make([]wire.ProduceTopicResponse, len(req.Topics))}
	refusedAll := h.refuseProduce(c, req)
	var stages []stage
	for i := range req.Topics {
		t := &req.Topics[i]
		out := &resp.Topics[i]
		out.Name, out.ID = t.Name, t.ID
		topic, code := h.produceTopic(c, t)
		if refusedAll != errcode.None {
			code = refusedAll
		} else if code == errcode.None && req.Acks == -1 && c.img.LacksReplicas(topic) {
			code = errcode.NotEnoughReplicas
		}
		out.Partitions = make([]wire.ProducePartitionResponse, len(t.Partitions))
		for j, p := range t.Partitions {
			a := &out.Partitions[j]
			*a = wire.ProducePartitionResponse{Index: p.Index, ErrorCode: code, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
			stages = append(stages, stage{topic: topic, in: p, out: a, version: c.req.Version})
		}
	}
	if h.cfg.RecordCheck != nil {
		c.pause()
		h.checkRecords(ctx, c, req.TimeoutMillis, stages)
		c.resume()
	}
	if req.TransactionalID != nil && refusedAll == errcode.None {
		h.stageTxn(ctx, c, *req.TransactionalID, stages)
	}
	failed := false
	for i := range stages {
		s := &stages[i]
		if s.out.ErrorCode == errcode.None && s.pending == nil {
			h.stage(s)
		}
		failed = failed || s.out.ErrorCode != errcode.None
	}
	var free bool
	free, c.Waits = progress(stages, req.Acks)
	if free = free && h.cfg.Trace == nil; free {
		wire.PutBuffer(c.req.Frame) // the records were all that aliased it
	}
	if req.Acks == 0 {
		if h.cfg.Trace != nil {
			h.traceProduce(c, received, stages, 0, nil)
		}
		if failed {
			return nil, errFailedUnanswered
		}
		return nil, ErrNoReply
	}
	deadline := time.Now().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	reply := func(ctx context.Context, v *wire.Vec) error {
		if err := finishProduce(ctx, stages, req.Acks, deadline, &h.parked.produces); err != nil {
			return err
		}
		resp.ThrottleMillis = c.throttleMillis()
		v.Append(func(dst []byte) []byte {
			return resp.AppendTo(wire.AppendResponseHeader(dst, c.req), c.req.Version)
		})
		if !free {
			if written, _ := progress(stages, req.Acks); written {
				wire.PutBuffer(c.req.Frame)
			}
		}
		return nil
	}
	if h.cfg.Trace != nil {
		return h.traceProduce(c, received, stages, req.Acks, reply), nil
	}
	return reply, nil
}

func (h *Handler) produceTopic(c *call, t *wire.ProduceTopic) (*cluster.Topic, int16) {
	topic, name, missing := c.img.Topic(t.Name), t.Name, errcode.UnknownTopicOrPartition
	if c.req.Version >= 13 {
		topic, missing = c.img.TopicByID(t.ID), errcode.UnknownTopicID
		if topic == nil {
			return nil, missing
		}
		name = topic.Name
	}
	// Whether there is a topic of a name is not for everybody to know.
	switch {
	case !h.allowed(c, auth.Write, auth.Topic, name):
		return nil, errcode.TopicAuthorizationFailed
	case topic == nil:
		return nil, missing
	case cluster.IsInternal(topic.Name) && c.req.ClientID != "__admin_client":
		return nil, errcode.InvalidTopic
	}
	return topic, errcode.None
}

// stage is one partition's batch on its way into the log.
type stage struct {
	topic   *cluster.Topic
	in      wire.ProducePartition
	out     *wire.ProducePartitionResponse
	version int16
	pending *partition.Pending // nil until it is staged, and where it was refused
	// Of a request that comes in parts: the topic's place in the answer, and the records'
	// buffer, until it is given back.
	at  int
	own []byte
}

// errFailedUnanswered: there is no response to say it in, so the connection says that it
// failed.
var errFailedUnanswered = errors.New("a produce request with acks=0 failed")

// refuseProduce says what is wrong with the request as a whole.
func (h *Handler) refuseProduce(c *call, req *wire.ProduceRequest) int16 {
	if req.Acks < -1 || req.Acks > 1 {
		return errcode.InvalidRequiredAcks
	}
	if req.TransactionalID != nil && h.allowed(c, auth.Write, auth.TransactionalID, *req.TransactionalID) {
		return errcode.None
	}
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			if h, err := record.ParseHeader(p.Records); err == nil && h.Transactional() {
				return errcode.TransactionalIDAuthorizationFailed
			}
		}
	}
	return errcode.None
}

// stageTxn stages the transactional batches of a request, those of each producer
// while the coordinator holds its transaction open.
func (h *Handler) stageTxn(ctx context.Context, c *call, id string, stages []stage) {
	type producer struct {
		id    int64
		epoch int16
	}
	byProducer := map[producer][]*stage{}
	for i := range stages {
		s := &stages[i]
		if s.out.ErrorCode != errcode.None {
			continue
		}
		info, err := record.ParseHeader(s.in.Records)
		if err != nil || !info.Transactional() {
			continue // the partition says what is wrong with it, if anything is
		}
		if s.in.Index < 0 || s.in.Index >= s.topic.Partitions() {
			s.out.ErrorCode = errcode.UnknownTopicOrPartition
			continue
		}
		p := producer{info.ProducerID, info.ProducerEpoch}
		byProducer[p] = append(byProducer[p], s)
	}
	// From version 12 on a batch adds its partition to the transaction by itself.
	add := c.req.Version >= 12
	for p, mine := range byProducer {
		partitions := make([]txn.Partition, len(mine))
		for i, s := range mine {
			partitions[i] = txn.Partition{Topic: s.topic.Name, Index: s.in.Index}
		}
		codes := h.txns.Write(ctx, id, p.id, p.epoch, partitions, add, func(i int) { h.stage(mine[i]) })
		for i, code := range codes {
			if code == errcode.InvalidTxnState && c.req.Version >= 11 {
				code = errcode.TransactionAbortable
			}
			if code != errcode.None {
				mine[i].out.ErrorCode = fenced(code, 0, 1)
			}
		}
	}
}

var errNotWhole = record.Errorf(record.CodeInvalidRecord, "a produce request must have one record batch per partition, this one is not whole")

// stage appends one partition's batch and fills in what is known at once.
func (h *Handler) stage(s *stage) {
	if s.version < 7 {
		if info, err := record.ParseHeader(s.in.Records); err == nil && info.Codec() == record.Zstd {
			s.out.ErrorCode = errcode.UnsupportedCompressionType // so old a producer does not know it
			return
		}
	}
	if n := record.SizeOf(s.in.Records); n == 0 || n > len(s.in.Records) {
		h.refuse(s.out, errNotWhole)
		return
	}
	part, err := h.topics.Get(s.topic, s.in.Index)
	if err == nil {
		s.pending, err = part.Append(s.in.Records, partition.Client)
	}
	if err != nil {
		h.refuse(s.out, err)
		return
	}
	s.out.BaseOffset, s.out.LogAppendTime = s.pending.BaseOffset(), s.pending.LogAppendTime()
	s.out.LogStartOffset = part.Offsets().LogStart
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
	switch {
	case errors.Is(err, record.ErrDecompressedTooLarge):
		h.cfg.Hits.Hit(limit.Decompressed)
	case coded.Code == record.CodeMessageTooLarge:
		h.cfg.Hits.Hit(limit.BatchBytes)
	}
	a.ErrorCode = coded.Code
	if coded.Msg != "" {
		a.ErrorMessage = &coded.Msg
	}
	for _, r := range coded.Records {
		a.RecordErrors = append(a.RecordErrors, wire.RecordError{Index: r.Index, Message: &r.Msg})
	}
}

// progress says whether every batch that was staged is in its file — until then, and for
// ever if it failed, its bytes are the partition's — and whether the answer has to wait.
func progress(stages []stage, acks int16) (written, waits bool) {
	written = true
	for i := range stages {
		w, done := stages[i].progress()
		written = written && w
		waits = waits || !done && (!w || acks != 1)
	}
	return written, waits
}

// progress says whether the batch is in its file, and whether nothing changes any more;
// both of one that was refused.
func (s *stage) progress() (written, done bool) {
	if s.pending == nil {
		return true, true
	}
	return s.pending.Progress()
}

// finishProduce waits until what was staged is written (acks=1) or below the high
// watermark (acks=all), and turns into errors what is not in time.
func finishProduce(ctx context.Context, stages []stage, acks int16, deadline time.Time, parked *atomic.Int64) error {
	var timer *time.Timer
	var late <-chan time.Time
	for i := range stages {
		a, staged := stages[i].out, stages[i].pending
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
				parked.Add(1)
				defer parked.Add(-1)
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
	return nil
}
