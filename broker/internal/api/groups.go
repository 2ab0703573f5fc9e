package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/limit"
)

// The kinds of coordinators.
const (
	groupCoordinator = 0
	txnCoordinator   = 1
)

func (h *Handler) findCoordinator(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.FindCoordinatorRequest)
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if req.Version <= 3 {
		keys = []string{req.CoordinatorKey}
	}
	host, port := h.cfg.Advertise(c.Session)
	for _, key := range keys {
		a := kmsg.NewFindCoordinatorResponseCoordinator()
		a.Key, a.NodeID, a.Port = key, -1, -1
		a.ErrorCode = h.coordinatorFor(ctx, c, req.CoordinatorType, key)
		if a.ErrorCode == errcode.None {
			a.NodeID, a.Host, a.Port = h.cfg.NodeID, host, port
		}
		resp.Coordinators = append(resp.Coordinators, a)
	}
	if req.Version <= 3 {
		a := resp.Coordinators[0]
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = a.ErrorCode, a.NodeID, a.Host, a.Port
		resp.Coordinators = nil
	}
	return resp, nil
}

func (h *Handler) coordinatorFor(ctx context.Context, c *call, kind int8, key string) int16 {
	switch kind {
	case groupCoordinator:
		if !h.allowed(c, auth.Describe, auth.Group, key) {
			return errcode.GroupAuthorizationFailed
		}
		if _, err := h.groups.EnsureTopic(ctx); err != nil {
			return errcode.CoordinatorNotAvailable
		}
		return errcode.None
	case txnCoordinator:
		if !h.allowed(c, auth.Describe, auth.TransactionalID, key) {
			return errcode.TransactionalIDAuthorizationFailed
		}
		if _, err := h.txns.EnsureTopic(ctx); err != nil {
			return errcode.CoordinatorNotAvailable
		}
		return errcode.None
	}
	return errcode.InvalidRequest
}

// readGroup says whether a request may act in a group.
func (h *Handler) readGroup(c *call, groupID string) int16 {
	switch {
	case !h.allowed(c, auth.Read, auth.Group, groupID):
		return errcode.GroupAuthorizationFailed
	case groupID == "":
		return errcode.InvalidGroupID
	case len(groupID) >= 32<<10: // it is part of records' keys
		h.cfg.Hits.Hit(limit.GroupID)
		return errcode.InvalidGroupID
	}
	return errcode.None
}

func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }

func (h *Handler) joinGroup(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.JoinGroupRequest)
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	r := group.JoinResult{ErrorCode: h.readGroup(c, req.Group), Generation: -1, MemberID: req.MemberID}
	if r.ErrorCode == errcode.None {
		join := group.JoinRequest{
			Version: req.Version, MemberID: req.MemberID, InstanceID: req.InstanceID,
			ClientID: c.req.ClientID, ClientHost: "/" + c.host(), ProtocolType: req.ProtocolType,
			SessionTimeout: millis(req.SessionTimeoutMillis), RebalanceTimeout: millis(req.RebalanceTimeoutMillis),
		}
		if req.Version == 0 {
			join.RebalanceTimeout = join.SessionTimeout
		}
		for _, p := range req.Protocols {
			join.Protocols = append(join.Protocols, group.Protocol{Name: p.Name, Metadata: p.Metadata})
		}
		c.decoded() // it may wait for minutes, and keeps only what the group's size bounds
		r = h.groups.Join(ctx, req.Group, join)
	}
	resp.ErrorCode, resp.Generation, resp.LeaderID, resp.MemberID = h.hit(r.ErrorCode), r.Generation, r.Leader, r.MemberID
	resp.SkipAssignment = r.SkipAssignment
	resp.Protocol = kmsg.StringPtr(r.Protocol)
	if req.Version >= 7 {
		if r.ErrorCode != errcode.None {
			resp.Protocol = nil
		} else {
			resp.ProtocolType = &r.ProtocolType
		}
	}
	for _, m := range r.Members {
		out := kmsg.NewJoinGroupResponseMember()
		out.MemberID, out.InstanceID, out.ProtocolMetadata = m.ID, m.InstanceID, m.Metadata
		resp.Members = append(resp.Members, out)
	}
	return resp, nil
}

func (h *Handler) syncGroup(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.SyncGroupRequest)
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	r := group.SyncResult{ErrorCode: h.readGroup(c, req.Group)}
	if r.ErrorCode == errcode.None {
		sync := group.SyncRequest{
			MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
			ProtocolType: req.ProtocolType, Protocol: req.Protocol, Assignments: map[string][]byte{},
		}
		for _, a := range req.GroupAssignment {
			sync.Assignments[a.MemberID] = a.MemberAssignment
		}
		c.decoded()
		r = h.groups.Sync(ctx, req.Group, sync)
	}
	resp.ErrorCode, resp.MemberAssignment = h.hit(r.ErrorCode), r.Assignment
	if r.ErrorCode == errcode.None {
		resp.ProtocolType, resp.Protocol = &r.ProtocolType, &r.Protocol
	}
	if resp.MemberAssignment == nil {
		resp.MemberAssignment = []byte{}
	}
	return resp, nil
}

func (h *Handler) heartbeat(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.HeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	if resp.ErrorCode = h.readGroup(c, req.Group); resp.ErrorCode == errcode.None {
		resp.ErrorCode = h.groups.Heartbeat(ctx, req.Group, req.MemberID, req.InstanceID, req.Generation)
	}
	return resp, nil
}

func (h *Handler) leaveGroup(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.LeaveGroupRequest)
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	members := []coordinator.LeaveMember{{MemberID: req.MemberID}}
	if req.Version >= 3 {
		members = nil
		for _, m := range req.Members {
			members = append(members, coordinator.LeaveMember{MemberID: m.MemberID, InstanceID: m.InstanceID})
		}
	}
	if resp.ErrorCode = h.readGroup(c, req.Group); resp.ErrorCode != errcode.None {
		return resp, nil
	}
	code, each := h.groups.Leave(ctx, req.Group, members)
	resp.ErrorCode = code
	if code != errcode.None {
		return resp, nil
	}
	if req.Version < 3 {
		resp.ErrorCode = each[0]
		return resp, nil
	}
	for i, m := range members {
		out := kmsg.NewLeaveGroupResponseMember()
		out.MemberID, out.InstanceID, out.ErrorCode = m.MemberID, m.InstanceID, each[i]
		resp.Members = append(resp.Members, out)
	}
	return resp, nil
}

func (h *Handler) describeGroups(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, id := range unique(req.Groups, self) {
		out := kmsg.NewDescribeGroupsResponseGroup()
		out.Group = id
		if !h.allowed(c, auth.Describe, auth.Group, id) {
			out.ErrorCode = errcode.GroupAuthorizationFailed
			resp.Groups = append(resp.Groups, out)
			continue
		}
		state, snap, code := h.groups.Describe(ctx, id)
		out.ErrorCode, out.State = code, state.String()
		if code == errcode.GroupIDNotFound {
			out.State = group.Dead.String()
			if req.Version < 6 {
				out.ErrorCode = errcode.None
			} else {
				out.ErrorMessage = kmsg.StringPtr("Group " + id + " not found.")
			}
		}
		out.ProtocolType = snap.ProtocolType
		if state == group.Stable {
			out.Protocol = snap.Protocol
		}
		for _, m := range snap.Members {
			km := kmsg.NewDescribeGroupsResponseGroupMember()
			km.MemberID, km.InstanceID, km.ClientID, km.ClientHost = m.ID, m.InstanceID, m.ClientID, m.ClientHost
			if state == group.Stable {
				km.ProtocolMetadata, km.MemberAssignment = m.Metadata, m.Assignment
			}
			out.Members = append(out.Members, km)
		}
		if req.IncludeAuthorizedOperations && out.ErrorCode == errcode.None {
			out.AuthorizedOperations = h.operations(c, auth.Group, id)
		}
		resp.Groups = append(resp.Groups, out)
	}
	return resp, nil
}

func (h *Handler) listGroups(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ListGroupsRequest)
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	all := h.allowed(c, auth.Describe, auth.Cluster, auth.ClusterName)
	groups, code := h.groups.List(ctx)
	resp.ErrorCode = code
	has := func(list []string, s string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(l string) bool { return strings.EqualFold(l, s) })
	}
	for _, g := range groups {
		if !has(req.StatesFilter, g.State) || !has(req.TypesFilter, g.Type) || !all && !h.allowed(c, auth.Describe, auth.Group, g.ID) {
			continue
		}
		out := kmsg.NewListGroupsResponseGroup()
		out.Group, out.ProtocolType, out.GroupState, out.GroupType = g.ID, g.ProtocolType, g.State, g.Type
		resp.Groups = append(resp.Groups, out)
	}
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	return resp, nil
}

func (h *Handler) deleteGroups(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DeleteGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, id := range req.Groups {
		out := kmsg.NewDeleteGroupsResponseGroup()
		out.Group, out.ErrorCode = id, errcode.GroupAuthorizationFailed
		if h.allowed(c, auth.Delete, auth.Group, id) {
			out.ErrorCode = h.groups.Delete(ctx, id)
		}
		resp.Groups = append(resp.Groups, out)
	}
	return resp, nil
}
