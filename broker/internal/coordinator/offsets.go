package coordinator

import (
	"context"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Commit is one offset to commit.
type Commit struct {
	TopicPartition
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// CommitOffsets commits offsets for a member of a group, or for a group without
// members; the codes are in the order of the commits.
func (g *Groups) CommitOffsets(ctx context.Context, groupID, memberID string, instanceID *string, generation int32, commits []Commit) []int16 {
	codes := make([]int16, len(commits))
	fail := func(code int16) []int16 {
		for i := range codes {
			codes[i] = code
		}
		return codes
	}
	s, code := g.shard(ctx, groupID)
	if code != errcode.None {
		return fail(code)
	}
	var refused int16
	code = s.do(ctx, func(now time.Time) {
		h := s.group(groupID)
		if h == nil {
			if generation >= 0 || memberID != "" {
				refused = errcode.IllegalGeneration
				if generation < 0 {
					refused = errcode.UnknownMemberID
				}
				return
			}
			h = s.create(groupID, now)
		}
		if refused = h.CheckCommit(now, memberID, instanceID, generation); refused != errcode.None {
			return
		}
		for i, c := range commits {
			if len(c.Metadata) > g.cfg.MaxMetadata {
				codes[i] = errcode.OffsetMetadataTooLarge
				continue
			}
			o := group.Offset{Offset: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata, CommitTime: now}
			s.add(offsetEntry(groupID, c.Topic, c.Partition, o))
			h.SetOffset(c.Topic, c.Partition, o)
		}
	})
	if code == errcode.None {
		code = refused
	}
	if code != errcode.None {
		return fail(code)
	}
	return codes
}

// Committed is a committed offset as a fetch returns it.
type Committed struct {
	TopicPartition
	group.Offset
}

// FetchOffsets returns committed offsets of a group: those of the partitions
// asked for, in their order, -1 where there is none; or, with nil, all there are.
// A member id, where one is given, must be current.
func (g *Groups) FetchOffsets(ctx context.Context, groupID string, partitions []TopicPartition) (out []Committed, code int16) {
	s, code := g.shard(ctx, groupID)
	if code != errcode.None {
		return nil, code
	}
	code = s.do(ctx, func(time.Time) {
		h := s.group(groupID)
		if partitions == nil {
			if h != nil {
				for topic, parts := range h.Offsets() {
					for p, o := range parts {
						out = append(out, Committed{TopicPartition{topic, p}, o})
					}
				}
			}
			return
		}
		for _, tp := range partitions {
			o := group.Offset{Offset: -1, LeaderEpoch: -1}
			if h != nil {
				if found, ok := h.Offset(tp.Topic, tp.Partition); ok {
					o = found
				}
			}
			out = append(out, Committed{tp, o})
		}
	})
	return out, code
}

// DeleteOffsets removes committed offsets of partitions that no member of the
// group subscribes to; subscribed says whether a member's metadata names a topic.
func (g *Groups) DeleteOffsets(ctx context.Context, groupID string, partitions []TopicPartition, subscribed func(protocolType string, metadata []byte, topic string) bool) (code int16, each []int16) {
	each = make([]int16, len(partitions))
	code = g.with(ctx, groupID, errcode.GroupIDNotFound, func(s *shard, h *held, _ time.Time) int16 {
		if h.State() != group.Empty && h.ProtocolType() != "consumer" {
			return errcode.NonEmptyGroup
		}
		snap := h.Snapshot()
		for i, tp := range partitions {
			for _, m := range snap.Members {
				if subscribed(snap.ProtocolType, m.Metadata, tp.Topic) {
					each[i] = errcode.GroupSubscribedToTopic
				}
			}
			if _, ok := h.Offset(tp.Topic, tp.Partition); ok && each[i] == errcode.None {
				s.add(offsetTombstone(groupID, tp.Topic, tp.Partition))
				h.DeleteOffset(tp.Topic, tp.Partition)
			}
		}
		return errcode.None
	})
	return code, each
}

// ForgetTopic removes every group's offsets of a topic that was deleted.
func (g *Groups) ForgetTopic(ctx context.Context, topic string) {
	for _, s := range g.all() {
		s.do(ctx, func(time.Time) {
			for id, h := range s.groups {
				for partition := range h.Offsets()[topic] {
					s.add(offsetTombstone(id, topic, partition))
					h.DeleteOffset(topic, partition)
				}
			}
		})
	}
}
