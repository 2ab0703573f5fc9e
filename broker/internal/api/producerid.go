package api

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// producerIDBlock is how many producer ids are taken from the cluster at once.
// What is left of a block is lost with a restart; there are 2^63.
const producerIDBlock = 1000

// producerIDs hands out producer ids, each once for ever.
type producerIDs struct {
	cluster *cluster.Cluster

	mu        sync.Mutex
	next, end int64
}

func (p *producerIDs) take(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == p.end {
		err := p.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
			p.next, p.end = img.NextProducerID, img.NextProducerID
			return []cluster.Command{&cluster.AllocateProducerIDs{Next: img.NextProducerID + producerIDBlock}}, nil
		})
		if err != nil {
			return -1, err
		}
		p.end = p.next + producerIDBlock
	}
	id := p.next
	p.next++
	return id, nil
}

func (h *Handler) initProducerID(ctx context.Context, _ *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.InitProducerIDRequest)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = errcode.TransactionalIDAuthorizationFailed
		if *req.TransactionalID == "" {
			resp.ErrorCode = errcode.InvalidRequest
		}
		return resp, nil
	}
	id, err := h.producers.take(ctx)
	if err != nil {
		resp.ErrorCode, _ = h.code(err)
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}
