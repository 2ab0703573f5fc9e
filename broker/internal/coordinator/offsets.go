package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/topics"
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

// Committer is who commits: a member of a group, or nobody in particular.
type Committer struct {
	MemberID   string
	InstanceID *string
	Generation int32 // or the member's epoch
	// Version is that of the OffsetCommit request; offsets in a transaction have none.
	Version int16
}

// CommitOffsets commits offsets for a member of a group, or for a group without
// members; the codes are in the order of the commits.
func (g *Groups) CommitOffsets(ctx context.Context, groupID string, by Committer, commits []Commit) []int16 {
	return g.commit(ctx, groupID, by, commits, func(s *shard, h *held, c Commit, o group.Offset) {
		s.add(offsetEntry(groupID, c.Topic, c.Partition, o))
		h.offsets.Set(c.Topic, c.Partition, o)
		h.commits++
	}, nil)
}

// CommitTxnOffsets puts offsets into a producer's transaction: they count when it
// commits. A committer without member id and generation is not checked.
func (g *Groups) CommitTxnOffsets(ctx context.Context, groupID string, by Committer, producerID int64, epoch int16, commits []Commit) []int16 {
	var entries []entry
	return g.commit(ctx, groupID, by, commits, func(s *shard, h *held, c Commit, o group.Offset) {
		entries = append(entries, offsetEntry(groupID, c.Topic, c.Partition, o))
		s.hold(producerID, h, c.TopicPartition, o)
	}, func(s *shard, now time.Time) {
		if len(entries) > 0 {
			s.addBatch(output{batch: batchOf(record.Options{
				Idempotent: true, ProducerID: producerID, ProducerEpoch: epoch, BaseSequence: -1, Transactional: true,
			}, entries, now)})
		}
	})
}

// commit checks a commit and lets store keep each offset; end, if not nil, is
// called after them.
func (g *Groups) commit(ctx context.Context, groupID string, by Committer, commits []Commit, store func(*shard, *held, Commit, group.Offset), end func(*shard, time.Time)) []int16 {
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
	inTxn := end != nil
	if inTxn {
		by.Version = -1
	}
	var refused int16
	code = s.do(ctx, func(now time.Time) {
		h := s.group(groupID)
		if h == nil {
			if by.Generation >= 0 || by.MemberID != "" {
				switch refused = errcode.IllegalGeneration; {
				case by.Generation < 0:
					refused = errcode.UnknownMemberID
				case by.Version >= 9: // it may be a member's epoch
					refused = errcode.GroupIDNotFound
				}
				return
			}
			h = s.create(groupID, now)
		}
		var each func(TopicPartition) int16
		// A transaction's producer that names no member is fenced by its epoch alone.
		if !inTxn || by.MemberID != "" || by.InstanceID != nil || by.Generation >= 0 {
			if refused, each = s.checkCommit(now, h, by); refused != errcode.None {
				return
			}
		}
		for i, c := range commits {
			if each != nil {
				if codes[i] = each(c.TopicPartition); codes[i] != errcode.None {
					continue
				}
			}
			if len(c.Metadata) > g.cfg.MaxMetadata {
				codes[i] = errcode.OffsetMetadataTooLarge
				continue
			}
			store(s, h, c, group.Offset{Offset: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata, CommitTime: now})
		}
		if inTxn {
			end(s, now)
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

// checkCommit says whether a committer may commit, and each, if not nil, whether it
// may for a partition.
func (s *shard) checkCommit(now time.Time, h *held, by Committer) (code int16, each func(TopicPartition) int16) {
	if h.consumer == nil {
		return h.classic.CheckCommit(now, by.MemberID, by.InstanceID, by.Generation), nil
	}
	code, check := h.consumer.CheckCommit(by.MemberID, by.Generation, by.Version)
	if check == nil {
		return code, nil
	}
	topics := s.world(now, h.id).Topics
	return code, func(tp TopicPartition) int16 {
		t, _ := topics.ByName(tp.Topic) // without the topic it holds none of its partitions
		return check(consumergroup.Partition{Topic: t.ID, Index: tp.Partition})
	}
}

// endTxn appends a transaction's marker to a partition of the offsets topic, and
// commits or drops the offsets that the transaction holds there. That counts once the
// result has settled.
func (g *Groups) endTxn(ctx context.Context, index int32, producerID int64, epoch int16, m record.Marker) settled {
	t := g.cluster.Image().Topic(cluster.OffsetsTopic)
	if t == nil || index < 0 || index >= t.Partitions() {
		return settled{code: errcode.UnknownTopicOrPartition}
	}
	s, code := g.start(t, index)
	if code != errcode.None {
		return settled{code: code}
	}
	var refused int16
	r := s.begin(ctx, func(now time.Time) {
		// A marker that the log refuses must not end anything here either.
		if refused, _ = topics.Code(s.part.CheckMarker(producerID, epoch, m)); refused != errcode.None {
			return
		}
		s.addBatch(output{batch: record.EndTxn(producerID, epoch, m, now.UnixMilli()), refused: &refused})
		s.endTxn(producerID, m.Commit)
	})
	if r.code == errcode.None {
		r.code = refused
	}
	return r
}

// Committed is a committed offset as a fetch returns it.
type Committed struct {
	TopicPartition
	group.Offset
	// Unstable: an open transaction may change it. Only where stable offsets were
	// asked for.
	Unstable bool
}

// Fetcher is who reads offsets: a member of a group, or, without an id, anyone.
type Fetcher struct {
	MemberID    *string
	MemberEpoch int32
}

// FetchOffsets returns committed offsets of a group: those of the partitions
// asked for, in their order, -1 where there is none; or, with nil, all there are.
// A member of the consumer protocol says who it is.
func (g *Groups) FetchOffsets(ctx context.Context, groupID string, by Fetcher, partitions []TopicPartition, stable bool) (out []Committed, code int16) {
	s, code := g.shard(ctx, groupID)
	if code != errcode.None {
		return nil, code
	}
	var refused int16
	code = s.do(ctx, func(time.Time) {
		h := s.group(groupID)
		if h != nil && h.consumer != nil {
			if refused = h.consumer.CheckFetch(by.MemberID, by.MemberEpoch); refused != errcode.None {
				return
			}
		}
		if partitions == nil {
			if h != nil {
				for topic, parts := range h.offsets {
					for p, o := range parts {
						tp := TopicPartition{topic, p}
						out = append(out, Committed{tp, o, stable && s.unstable(h, tp)})
					}
				}
			}
			return
		}
		for _, tp := range partitions {
			c := Committed{TopicPartition: tp, Offset: group.Offset{Offset: -1, LeaderEpoch: -1}}
			if h != nil {
				if found, ok := h.offsets.Get(tp.Topic, tp.Partition); ok {
					c.Offset = found
				}
				c.Unstable = stable && s.unstable(h, tp)
			}
			out = append(out, c)
		}
	})
	if code == errcode.None {
		code = refused
	}
	return out, code
}

// DeleteOffsets removes committed offsets of partitions that no member of the
// group subscribes to; subscribed says whether a member's metadata names a topic.
func (g *Groups) DeleteOffsets(ctx context.Context, groupID string, partitions []TopicPartition, subscribed func(protocolType string, metadata []byte, topic string) bool) (code int16, each []int16) {
	each = make([]int16, len(partitions))
	code = g.with(ctx, groupID, errcode.GroupIDNotFound, func(s *shard, h *held, _ time.Time) int16 {
		if h.consumer == nil && !h.empty() && h.classic.ProtocolType() != "consumer" {
			return errcode.NonEmptyGroup
		}
		uses := func(topic string) bool {
			if h.consumer != nil {
				return h.consumer.Subscribed(topic)
			}
			snap := h.classic.Snapshot()
			return slices.ContainsFunc(snap.Members, func(m group.SnapshotMember) bool {
				return subscribed(snap.ProtocolType, m.Metadata, topic)
			})
		}
		for i, tp := range partitions {
			if uses(tp.Topic) {
				each[i] = errcode.GroupSubscribedToTopic
			}
			if _, ok := h.offsets.Get(tp.Topic, tp.Partition); ok && each[i] == errcode.None {
				s.add(offsetTombstone(groupID, tp.Topic, tp.Partition))
				h.offsets.Delete(tp.Topic, tp.Partition)
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
				for partition := range h.offsets[topic] {
					s.add(offsetTombstone(id, topic, partition))
					h.offsets.Delete(topic, partition)
				}
			}
		})
	}
}
