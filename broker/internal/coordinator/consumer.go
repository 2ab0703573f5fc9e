package coordinator

import (
	"context"
	"iter"
	"strconv"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
)

// imageTopics shows the topics of a cluster image to consumer groups.
type imageTopics struct{ img *cluster.Image }

func (t imageTopics) ByName(name string) (consumergroup.Topic, bool) {
	return topicOf(t.img.Topic(name))
}

func (t imageTopics) ByID(id consumergroup.TopicID) (consumergroup.Topic, bool) {
	return topicOf(t.img.TopicByID(id))
}

func (t imageTopics) All() iter.Seq[consumergroup.Topic] {
	return func(yield func(consumergroup.Topic) bool) {
		for _, topic := range t.img.Topics() {
			if one, _ := topicOf(topic); !yield(one) {
				return
			}
		}
	}
}

func topicOf(t *cluster.Topic) (consumergroup.Topic, bool) {
	if t == nil {
		return consumergroup.Topic{}, false
	}
	return consumergroup.Topic{ID: t.ID, Name: t.Name, Partitions: t.Partitions()}, true
}

// world is what a group sees of the cluster now.
func (g *Groups) world(now time.Time, groupID string) consumergroup.World {
	img := g.cluster.Image()
	return consumergroup.World{
		Now: now, Topics: imageTopics{img}, Version: img.Version,
		SessionTimeout: groupDuration(img, groupID, cluster.GroupSessionTimeout, g.cfg.SessionTimeout),
	}
}

// groupDuration is a setting of a group in milliseconds, or the broker's.
func groupDuration(img *cluster.Image, groupID, name string, otherwise time.Duration) time.Duration {
	if n, err := strconv.ParseInt(img.GroupConfigs[groupID][name], 10, 64); err == nil {
		return time.Duration(n) * time.Millisecond
	}
	return otherwise
}

// HeartbeatInterval is how often the members of a group are to be heard of.
func (g *Groups) HeartbeatInterval(groupID string) time.Duration {
	return groupDuration(g.cluster.Image(), groupID, cluster.GroupHeartbeatInterval, g.cfg.HeartbeatInterval)
}

// ConsumerHeartbeat handles a ConsumerGroupHeartbeat request.
func (g *Groups) ConsumerHeartbeat(ctx context.Context, groupID string, r consumergroup.Heartbeat) consumergroup.HeartbeatResult {
	fail := func(code int16) consumergroup.HeartbeatResult { return consumergroup.HeartbeatResult{ErrorCode: code} }
	if result, ok := g.cfg.Consumer.Check(r); !ok {
		return result
	}
	s, code := g.shard(ctx, groupID)
	if code != errcode.None {
		return fail(code)
	}
	var result consumergroup.HeartbeatResult
	code = s.do(ctx, func(now time.Time) { result = s.consumerHeartbeat(groupID, now, r) })
	if code != errcode.None {
		return fail(code)
	}
	return result
}

func (s *shard) consumerHeartbeat(groupID string, now time.Time, r consumergroup.Heartbeat) consumergroup.HeartbeatResult {
	h, w := s.group(groupID), s.world(now, groupID)
	if h != nil && h.consumer != nil {
		result := h.consumer.Heartbeat(w, r)
		s.after(h, now)
		return result
	}
	if r.MemberEpoch != 0 {
		message := "Group " + groupID + " not found."
		if h != nil {
			message = "Group " + groupID + " is not a consumer group."
		}
		return consumergroup.HeartbeatResult{ErrorCode: errcode.GroupIDNotFound, Message: message}
	}
	// The first member makes the group, or makes a classic group one of these.
	g := consumergroup.New(groupID, &s.cfg.Consumer)
	if h != nil && !h.empty() {
		var ok bool
		if g, ok = consumergroup.FromClassic(w, h.classic, &s.cfg.Consumer); !ok {
			return consumergroup.HeartbeatResult{ErrorCode: errcode.GroupIDNotFound, Message: "Group " + groupID + " is not a consumer group."}
		}
	}
	result := g.Heartbeat(w, r)
	if result.ErrorCode != errcode.None {
		return result // nothing has changed
	}
	h = s.create(groupID, now)
	s.becomeConsumer(h, g, now)
	s.after(h, now)
	return result
}

// becomeConsumer puts a consumer group into the place of a classic one. Those who
// wait for the classic one's rebalance are told to join again.
func (s *shard) becomeConsumer(h *held, g *consumergroup.Group, now time.Time) {
	h.classic.Kill(now, errcode.RebalanceInProgress)
	effects, _ := h.classic.TakeEffects()
	s.effects = append(s.effects, effects...)
	s.erase(h)
	h.classic, h.consumer = nil, g
}

// becomeClassic puts an empty classic group into the place of a consumer group.
func (s *shard) becomeClassic(h *held, now time.Time) {
	s.erase(h)
	h.consumer, h.classic = nil, group.New(h.id, &s.cfg.Group, now)
}

// downgrade makes a classic group of one whose members all speak the classic
// protocol; they rebalance, and one of them assigns.
func (s *shard) downgrade(h *held, now time.Time) {
	generation, members := h.consumer.AssignmentEpoch(), h.consumer.ToClassic(s.world(now, h.id))
	s.becomeClassic(h, now)
	h.classic.Adopt(now, generation, members)
}

// write adds the records of what a consumer group has changed.
func (s *shard) write(g *consumergroup.Group) {
	g.TakeChanges(func(c consumergroup.Change, gone bool) {
		if gone {
			s.add(consumerTombstone(g.ID, c))
		} else {
			s.add(consumerEntry(g, c))
		}
	})
}

// ConsumerDescription describes a consumer group.
type ConsumerDescription struct {
	State                  string
	Epoch, AssignmentEpoch int32
	Assignor               string
	Members                []consumergroup.Member
}

// DescribeConsumer returns a consumer group's description; the code is
// GROUP_ID_NOT_FOUND when there is none, or it is classic.
func (g *Groups) DescribeConsumer(ctx context.Context, groupID string) (d ConsumerDescription, classic bool, code int16) {
	code = g.with(ctx, groupID, errcode.GroupIDNotFound, func(_ *shard, h *held, _ time.Time) int16 {
		if classic = h.consumer == nil; classic {
			return errcode.GroupIDNotFound
		}
		d = ConsumerDescription{
			State: h.consumer.State().String(), Epoch: h.consumer.Epoch(),
			AssignmentEpoch: h.consumer.AssignmentEpoch(), Assignor: h.consumer.AssignorName(),
		}
		for _, m := range h.consumer.Members() {
			d.Members = append(d.Members, *m) // whose sets are never changed, only replaced
		}
		return errcode.None
	})
	return d, classic, code
}
