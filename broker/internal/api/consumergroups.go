package api

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

func (h *Handler) consumerGroupHeartbeat(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ConsumerGroupHeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	if resp.ErrorCode = h.readGroup(c, req.Group); resp.ErrorCode != errcode.None {
		if resp.ErrorCode == errcode.InvalidGroupID {
			resp.ErrorCode, resp.ErrorMessage = errcode.InvalidRequest, kmsg.StringPtr("GroupId can't be empty.")
		}
		return resp, nil
	}
	// What a client may not know of is not told from what it may not read.
	visible := func(topic string) bool { return h.allowed(c, auth.Describe, auth.Topic, topic) }
	if !allVisible(req.SubscribedTopicNames, visible) {
		resp.ErrorCode = errcode.TopicAuthorizationFailed
		return resp, nil
	}
	hb := consumergroup.Heartbeat{
		Version: req.Version, MemberID: req.MemberID, MemberEpoch: req.MemberEpoch, InstanceID: req.InstanceID, RackID: req.RackID,
		RebalanceTimeout: millis(req.RebalanceTimeoutMillis), Topics: req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor,
		ClientID: c.req.ClientID, ClientHost: "/" + c.host(), Visible: visible,
	}
	if req.Topics != nil {
		hb.Owned = consumergroup.Partitions{}
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				hb.Owned[consumergroup.Partition{Topic: t.TopicID, Index: p}] = struct{}{}
			}
		}
	}
	r := h.groups.ConsumerHeartbeat(ctx, req.Group, hb)
	if resp.ErrorCode = h.hit(r.ErrorCode); r.ErrorCode != errcode.None {
		if r.Message != "" {
			resp.ErrorMessage = &r.Message
		}
		return resp, nil
	}
	resp.MemberID, resp.MemberEpoch = &r.MemberID, r.MemberEpoch
	if r.MemberEpoch > 0 {
		resp.HeartbeatIntervalMillis = int32(h.groups.HeartbeatInterval(req.Group).Milliseconds())
	}
	if r.Assigned {
		resp.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{}
		for _, t := range r.Assignment.ByTopic() {
			at := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
			at.TopicID, at.Partitions = t.Topic, t.Partitions
			resp.Assignment.Topics = append(resp.Assignment.Topics, at)
		}
	}
	return resp, nil
}

func allVisible(topics []string, visible func(string) bool) bool {
	return !slices.ContainsFunc(topics, func(t string) bool { return !visible(t) })
}

func (h *Handler) consumerGroupDescribe(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ConsumerGroupDescribeRequest)
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	for _, id := range unique(req.Groups, self) {
		resp.Groups = append(resp.Groups, h.describeConsumerGroup(ctx, c, id, req.IncludeAuthorizedOperations))
	}
	return resp, nil
}

func (h *Handler) describeConsumerGroup(ctx context.Context, c *call, id string, operations bool) kmsg.ConsumerGroupDescribeResponseGroup {
	out := kmsg.NewConsumerGroupDescribeResponseGroup()
	out.Group = id
	refuse := func(code int16, message string) kmsg.ConsumerGroupDescribeResponseGroup {
		out.ErrorCode, out.ErrorMessage, out.Members = code, nil, nil
		if message != "" {
			out.ErrorMessage = &message
		}
		return out
	}
	switch {
	case !h.allowed(c, auth.Describe, auth.Group, id):
		return refuse(errcode.GroupAuthorizationFailed, "")
	case id == "":
		return refuse(errcode.InvalidGroupID, "")
	}
	d, classic, code := h.groups.DescribeConsumer(ctx, id)
	switch {
	case classic:
		return refuse(code, "Group "+id+" is not a consumer group.")
	case code == errcode.GroupIDNotFound:
		return refuse(code, "Group "+id+" not found.")
	case code != errcode.None:
		return refuse(code, "")
	}
	out.State, out.Epoch, out.AssignmentEpoch, out.AssignorName = d.State, d.Epoch, d.AssignmentEpoch, d.Assignor
	for _, m := range d.Members {
		km := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		km.MemberID, km.InstanceID, km.RackID, km.MemberEpoch = m.ID, m.InstanceID, m.RackID, m.Epoch
		km.ClientID, km.ClientHost, km.SubscribedTopics = m.ClientID, m.ClientHost, m.Topics
		km.SubscribedTopicRegex = &m.Regex
		owned := consumergroup.Partitions{}
		maps.Copy(owned, m.Assigned)
		maps.Copy(owned, m.Revoking) // until it says that it has given them up
		km.Assignment, km.TargetAssignment = h.describeAssignment(c, owned), h.describeAssignment(c, m.Target)
		if km.MemberType = 1; m.Classic != nil {
			km.MemberType = 0
		}
		topics := slices.Clone(m.Topics)
		for _, t := range slices.Concat(km.Assignment.TopicPartitions, km.TargetAssignment.TopicPartitions) {
			topics = append(topics, t.Topic)
		}
		if !allVisible(topics, func(t string) bool { return h.allowed(c, auth.Describe, auth.Topic, t) }) {
			return refuse(errcode.TopicAuthorizationFailed, "The described group uses topics that the client is not authorized to describe.")
		}
		out.Members = append(out.Members, km)
	}
	if operations {
		out.AuthorizedOperations = h.operations(c, auth.Group, id)
	}
	return out
}

// describeAssignment names the partitions; those of topics deleted meanwhile are left out.
func (h *Handler) describeAssignment(c *call, s consumergroup.Partitions) kmsg.Assignment {
	var out kmsg.Assignment
	for _, tp := range s.ByTopic() {
		if t := c.img.TopicByID(tp.Topic); t != nil {
			at := kmsg.NewAssignmentTopicPartition()
			at.TopicID, at.Topic, at.Partitions = tp.Topic, t.Name, tp.Partitions
			out.TopicPartitions = append(out.TopicPartitions, at)
		}
	}
	return out
}
