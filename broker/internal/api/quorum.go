package api

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// What an operator would change about the brokers and controllers of a cluster.
// There is one broker, which is its own controller, and both are fixed: the
// answers are those of a Kafka whose quorum is fixed by its settings
// (kraft.version 0).

// unregisterBroker forgets a broker, of which there is none but this one.
func (h *Handler) unregisterBroker(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.UnregisterBrokerRequest)
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	resp.ErrorCode, resp.ErrorMessage = h.fixed(c, func() (int16, string) {
		if req.BrokerID == h.cfg.NodeID {
			return errcode.InvalidRequest, fmt.Sprintf("Broker %d is running, and the only one.", req.BrokerID)
		}
		return errcode.BrokerIDNotRegistered, fmt.Sprintf("Broker ID %d is not currently registered.", req.BrokerID)
	})
	return resp, nil
}

func (h *Handler) addRaftVoter(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AddRaftVoterRequest)
	resp := req.ResponseKind().(*kmsg.AddRaftVoterResponse)
	resp.ErrorCode, resp.ErrorMessage = h.fixed(c, func() (int16, string) { return h.voters(c, req.ClusterID) })
	return resp, nil
}

func (h *Handler) removeRaftVoter(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.RemoveRaftVoterRequest)
	resp := req.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
	resp.ErrorCode, resp.ErrorMessage = h.fixed(c, func() (int16, string) { return h.voters(c, req.ClusterID) })
	return resp, nil
}

// voters says why the voters of the quorum cannot be changed.
func (h *Handler) voters(c *call, clusterID *string) (int16, string) {
	if clusterID != nil && *clusterID != c.img.ClusterID {
		return errcode.InconsistentClusterID, fmt.Sprintf("The cluster's id is %s.", c.img.ClusterID)
	}
	return errcode.UnsupportedVersion, "The voters of the quorum are fixed: kraft.version is 0."
}

// fixed answers a change that needs the right to alter the cluster.
func (h *Handler) fixed(c *call, refuse func() (int16, string)) (int16, *string) {
	if !h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName) {
		return errcode.ClusterAuthorizationFailed, nil
	}
	code, why := refuse()
	return code, &why
}
