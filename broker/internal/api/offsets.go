package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// commitOf is an offset that a request commits; hasEpoch: its version has leader epochs.
func commitOf(t *cluster.Topic, index int32, offset int64, epoch int32, hasEpoch bool, metadata *string) coordinator.Commit {
	c := coordinator.Commit{TopicPartition: coordinator.TopicPartition{Topic: t.Name, Partition: index}, Offset: offset, LeaderEpoch: -1}
	if hasEpoch {
		c.LeaderEpoch = epoch
	}
	if metadata != nil {
		c.Metadata = *metadata
	}
	return c
}

func (h *Handler) offsetCommit(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.OffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	refused := h.readGroup(c, req.Group)
	var commits []coordinator.Commit
	type place struct{ topic, partition int }
	var places []place // where the answers of commits go
	for i, t := range req.Topics {
		out := kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		topic, code := h.offsetTopic(c, t.Topic, t.TopicID, req.Version >= 10)
		if refused != errcode.None {
			code = refused
		}
		for j, p := range t.Partitions {
			a := kmsg.NewOffsetCommitResponseTopicPartition()
			a.Partition, a.ErrorCode = p.Partition, code
			if code == errcode.None && (p.Partition < 0 || p.Partition >= topic.Partitions()) {
				a.ErrorCode = errcode.UnknownTopicOrPartition
			}
			if a.ErrorCode == errcode.None {
				commits, places = append(commits, commitOf(topic, p.Partition, p.Offset, p.LeaderEpoch, req.Version >= 6, p.Metadata)), append(places, place{i, j})
			}
			out.Partitions = append(out.Partitions, a)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if len(commits) > 0 {
		by := coordinator.Committer{MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation, Version: req.Version}
		codes := h.groups.CommitOffsets(ctx, req.Group, by, commits)
		for n, at := range places {
			resp.Topics[at.topic].Partitions[at.partition].ErrorCode = h.hit(codes[n])
		}
	}
	return resp, nil
}

// offsetTopic finds the topic of an offset, by name or id.
func (h *Handler) offsetTopic(c *call, name string, id cluster.ID, byID bool) (*cluster.Topic, int16) {
	topic, missing := c.img.Topic(name), errcode.UnknownTopicOrPartition
	if byID {
		topic, missing = c.img.TopicByID(id), errcode.UnknownTopicID
	}
	if topic != nil {
		name = topic.Name
	}
	switch {
	case (topic != nil || !byID) && !h.allowed(c, auth.Read, auth.Topic, name):
		return nil, errcode.TopicAuthorizationFailed
	case topic == nil:
		return nil, missing
	}
	return topic, errcode.None
}

func (h *Handler) offsetFetch(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.OffsetFetchRequest)
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version >= 8 {
		for _, g := range unique(req.Groups, func(g kmsg.OffsetFetchRequestGroup) string { return g.Group }) {
			resp.Groups = append(resp.Groups, h.offsetFetchGroup(ctx, c, g, req.RequireStable))
		}
		return resp, nil
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics != nil {
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, t := range req.Topics {
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = t.Topic, t.Partitions
		g.Topics = append(g.Topics, gt)
	}
	one := h.offsetFetchGroup(ctx, c, g, req.RequireStable)
	resp.ErrorCode = one.ErrorCode
	for _, t := range one.Topics {
		out := kmsg.NewOffsetFetchResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			op := kmsg.NewOffsetFetchResponseTopicPartition()
			op.Partition, op.Offset, op.LeaderEpoch, op.Metadata, op.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			out.Partitions = append(out.Partitions, op)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if resp.ErrorCode != errcode.None && req.Version < 2 {
		// There is no field for the group's error: each partition carries it.
		for _, t := range req.Topics {
			out := kmsg.NewOffsetFetchResponseTopic()
			out.Topic = t.Topic
			for _, p := range t.Partitions {
				op := kmsg.NewOffsetFetchResponseTopicPartition()
				op.Partition, op.Offset, op.ErrorCode = p, -1, resp.ErrorCode
				out.Partitions = append(out.Partitions, op)
			}
			resp.Topics = append(resp.Topics, out)
		}
	}
	return resp, nil
}

func (h *Handler) offsetFetchGroup(ctx context.Context, c *call, g kmsg.OffsetFetchRequestGroup, stable bool) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = g.Group
	if !h.allowed(c, auth.Describe, auth.Group, g.Group) {
		out.ErrorCode = errcode.GroupAuthorizationFailed
		return out
	}
	byID := c.req.Version >= 10
	codes := map[string]int16{}
	var asked []coordinator.TopicPartition
	if g.Topics != nil {
		asked = []coordinator.TopicPartition{}
	}
	topics := map[string]int{} // index in out.Topics
	answer := func(name string, id cluster.ID) *kmsg.OffsetFetchResponseGroupTopic {
		i, ok := topics[name]
		if !ok {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic, t.TopicID = name, id
			i = len(out.Topics)
			topics[name] = i
			out.Topics = append(out.Topics, t)
		}
		return &out.Topics[i]
	}
	for _, t := range g.Topics {
		name, code := t.Topic, errcode.None
		if byID {
			topic := c.img.TopicByID(t.TopicID)
			if topic == nil {
				name, code = cluster.ID(t.TopicID).String(), errcode.UnknownTopicID
			} else {
				name = topic.Name
			}
		}
		if code == errcode.None && !h.allowed(c, auth.Describe, auth.Topic, name) {
			code = errcode.TopicAuthorizationFailed
		}
		a := answer(name, t.TopicID)
		codes[name] = code
		for _, p := range t.Partitions {
			if code != errcode.None {
				op := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				op.Partition, op.Offset, op.LeaderEpoch, op.ErrorCode = p, -1, -1, code
				op.Metadata = kmsg.StringPtr("")
				a.Partitions = append(a.Partitions, op)
				continue
			}
			asked = append(asked, coordinator.TopicPartition{Topic: name, Partition: p})
		}
	}
	found, code := h.groups.FetchOffsets(ctx, g.Group, coordinator.Fetcher{MemberID: g.MemberID, MemberEpoch: g.MemberEpoch}, unique(asked, self), stable)
	if code != errcode.None {
		out.ErrorCode, out.Topics = code, nil
		return out
	}
	for _, o := range found {
		var id cluster.ID
		if asked == nil {
			if !h.allowed(c, auth.Describe, auth.Topic, o.Topic) {
				continue
			}
			topic := c.img.Topic(o.Topic)
			if topic == nil && byID {
				continue
			}
			if topic != nil {
				id = topic.ID
			}
		}
		a := answer(o.Topic, id)
		op := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		op.Partition, op.Offset, op.LeaderEpoch = o.Partition, o.Offset.Offset, o.LeaderEpoch
		op.Metadata = kmsg.StringPtr(o.Metadata)
		if o.Unstable {
			op.Offset, op.LeaderEpoch, op.Metadata, op.ErrorCode = -1, -1, kmsg.StringPtr(""), errcode.UnstableOffsetCommit
		}
		a.Partitions = append(a.Partitions, op)
	}
	return out
}

func (h *Handler) offsetDelete(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.OffsetDeleteRequest)
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	if !h.allowed(c, auth.Delete, auth.Group, req.Group) {
		resp.ErrorCode = errcode.GroupAuthorizationFailed
		return resp, nil
	}
	var asked []coordinator.TopicPartition
	type place struct{ topic, partition int }
	var places []place
	for i, t := range req.Topics {
		out := kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		topic, code := h.offsetTopic(c, t.Topic, cluster.ID{}, false)
		for j, p := range t.Partitions {
			a := kmsg.NewOffsetDeleteResponseTopicPartition()
			a.Partition, a.ErrorCode = p.Partition, code
			if code == errcode.None && (p.Partition < 0 || p.Partition >= topic.Partitions()) {
				a.ErrorCode = errcode.UnknownTopicOrPartition
			}
			if a.ErrorCode == errcode.None {
				asked, places = append(asked, coordinator.TopicPartition{Topic: t.Topic, Partition: p.Partition}), append(places, place{i, j})
			}
			out.Partitions = append(out.Partitions, a)
		}
		resp.Topics = append(resp.Topics, out)
	}
	code, each := h.groups.DeleteOffsets(ctx, req.Group, asked, subscribed)
	if code != errcode.None {
		resp.ErrorCode, resp.Topics = code, nil
		return resp, nil
	}
	for n, at := range places {
		resp.Topics[at.topic].Partitions[at.partition].ErrorCode = each[n]
	}
	return resp, nil
}

// subscribed says whether a member's metadata names a topic. Only that of the
// consumer protocol can be read, and only in the shape that all its versions share.
func subscribed(protocolType string, metadata []byte, topic string) bool {
	if protocolType != "consumer" {
		return false
	}
	var m kmsg.ConsumerMemberMetadata
	if m.ReadFrom(metadata) != nil {
		return false
	}
	return slices.Contains(m.Topics, topic)
}
