package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/partition"
)

// What a ListOffsets request may ask for instead of a time.
const (
	askLatest        = -1
	askEarliest      = -2
	askMaxTimestamp  = -3
	askEarliestLocal = -4
	askLatestTiered  = -5
	askPendingUpload = -6
)

// asksSince are the versions that these questions came with.
var asksSince = map[int64]int16{
	askLatest: 0, askEarliest: 0, askMaxTimestamp: 7, askEarliestLocal: 8, askLatestTiered: 9, askPendingUpload: 11,
}

func (h *Handler) listOffsets(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ListOffsetsRequest)
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, t := range req.Topics {
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		topic, code := h.readableTopic(c, t.Topic)
		seen := map[int32]int{}
		for _, p := range t.Partitions {
			seen[p.Partition]++
		}
		for i, p := range t.Partitions {
			if seen[p.Partition] > 1 && slices.IndexFunc(t.Partitions, func(o kmsg.ListOffsetsRequestTopicPartition) bool { return o.Partition == p.Partition }) < i {
				continue
			}
			a := kmsg.NewListOffsetsResponseTopicPartition()
			a.Partition, a.ErrorCode, a.Offset, a.Timestamp, a.LeaderEpoch = p.Partition, code, -1, -1, -1
			switch {
			case code != errcode.None:
			case seen[p.Partition] > 1:
				a.ErrorCode = errcode.InvalidRequest
			default:
				h.listOffset(c, topic, &p, req.IsolationLevel, &a)
			}
			out.Partitions = append(out.Partitions, a)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// readableTopic finds a topic that the principal may describe.
func (h *Handler) readableTopic(c *call, name string) (*cluster.Topic, int16) {
	if !h.allowed(c, auth.Describe, auth.Topic, name) {
		return nil, errcode.TopicAuthorizationFailed
	}
	if t := c.img.Topic(name); t != nil {
		return t, errcode.None
	}
	return nil, errcode.UnknownTopicOrPartition
}

func (h *Handler) listOffset(c *call, t *cluster.Topic, p *kmsg.ListOffsetsRequestTopicPartition, isolation int8, a *kmsg.ListOffsetsResponseTopicPartition) {
	part, err := h.topics.Get(t, p.Partition)
	if err != nil {
		a.ErrorCode, _ = h.code(err)
		return
	}
	if a.ErrorCode = checkEpoch(c.img, t, p.Partition, p.CurrentLeaderEpoch); a.ErrorCode != errcode.None {
		return
	}
	if since, ok := asksSince[p.Timestamp]; p.Timestamp < 0 && (!ok || c.req.Version < since) {
		a.ErrorCode = errcode.UnsupportedVersion
		return
	}
	marks := part.Offsets()
	end := marks.HighWatermark
	if partition.Isolation(isolation) == partition.ReadCommitted {
		end = marks.LastStable
	}
	switch p.Timestamp {
	case askLatest:
		a.Offset, a.LeaderEpoch = end, c.img.LeaderEpoch(t, p.Partition)
	case askEarliest, askEarliestLocal:
		a.Offset, a.LeaderEpoch = marks.LogStart, part.EpochAt(marks.LogStart)
		if a.LeaderEpoch < 0 {
			a.LeaderEpoch = c.img.LeaderEpoch(t, p.Partition)
		}
	case askMaxTimestamp:
		a.Offset, a.Timestamp, a.LeaderEpoch, err = part.MaxTimestamp()
	case askLatestTiered, askPendingUpload:
		// Nothing is tiered.
	default:
		a.Offset, a.Timestamp, a.LeaderEpoch, err = part.OffsetForTime(p.Timestamp)
	}
	if err != nil {
		a.ErrorCode, _ = h.code(err)
	}
	// A record found by its time is told only to who may read it.
	if err != nil || a.Timestamp >= 0 && a.Offset >= end {
		a.Offset, a.Timestamp, a.LeaderEpoch = -1, -1, -1
	}
}

func (h *Handler) offsetForLeaderEpoch(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.OffsetForLeaderEpochRequest)
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		topic, code := h.readableTopic(c, t.Topic)
		for _, p := range t.Partitions {
			a := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			a.Partition, a.ErrorCode, a.LeaderEpoch, a.EndOffset = p.Partition, code, -1, -1
			if code == errcode.None {
				part, err := h.topics.Get(topic, p.Partition)
				if err != nil {
					a.ErrorCode, _ = h.code(err)
				} else if a.ErrorCode = checkEpoch(c.img, topic, p.Partition, p.CurrentLeaderEpoch); a.ErrorCode == errcode.None {
					a.LeaderEpoch, a.EndOffset = part.EpochEnd(p.LeaderEpoch)
				}
			}
			out.Partitions = append(out.Partitions, a)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (h *Handler) deleteRecords(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DeleteRecordsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for _, t := range req.Topics {
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = t.Topic
		topic, code := h.readableTopic(c, t.Topic)
		switch {
		case code != errcode.None:
		case !h.allowed(c, auth.Delete, auth.Topic, t.Topic):
			code = errcode.TopicAuthorizationFailed
		case cluster.IsInternal(t.Topic):
			code = errcode.InvalidTopic
		}
		for _, p := range t.Partitions {
			a := kmsg.NewDeleteRecordsResponseTopicPartition()
			a.Partition, a.ErrorCode, a.LowWatermark = p.Partition, code, -1
			if code == errcode.None {
				part, err := h.topics.Get(topic, p.Partition)
				if err == nil {
					a.LowWatermark, err = part.DeleteRecords(p.Offset)
				}
				if err != nil {
					a.LowWatermark = -1
					a.ErrorCode, _ = h.code(err)
				}
			}
			out.Partitions = append(out.Partitions, a)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}
