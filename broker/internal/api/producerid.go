package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

func (h *Handler) initProducerID(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.InitProducerIDRequest)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case req.Version >= 3 && (req.ProducerID >= 0) != (req.ProducerEpoch >= 0):
		resp.ErrorCode = errcode.InvalidRequest
		return resp, nil
	case req.TransactionalID == nil && !h.allowed(c, auth.IdempotentWrite, auth.Cluster, auth.ClusterName) &&
		!h.authorizer.AllowedAny(c.Principal, c.host(), auth.Write, auth.Topic):
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	case req.TransactionalID == nil:
		id, err := h.producers.Take(ctx)
		if err != nil {
			resp.ErrorCode, _ = h.code(err)
			return resp, nil
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
		return resp, nil
	case !h.allowed(c, auth.Write, auth.TransactionalID, *req.TransactionalID):
		resp.ErrorCode = errcode.TransactionalIDAuthorizationFailed
		return resp, nil
	}
	pid, epoch := int64(-1), int16(-1)
	if req.Version >= 3 {
		pid, epoch = req.ProducerID, req.ProducerEpoch
	}
	r := h.txns.Init(ctx, *req.TransactionalID, millis(req.TransactionTimeoutMillis), pid, epoch)
	resp.ErrorCode = h.hit(r.Code)
	if r.Code == errcode.None {
		resp.ProducerID, resp.ProducerEpoch = r.ProducerID, r.Epoch
	}
	if req.Version < 4 && resp.ErrorCode == errcode.ProducerFenced {
		resp.ErrorCode = errcode.InvalidProducerEpoch
	}
	return resp, nil
}
