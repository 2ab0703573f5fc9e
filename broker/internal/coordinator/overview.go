package coordinator

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// Overview is what monitoring wants to know of a group.
type Overview struct {
	Listed
	Protocol string // that its members chose, or the assignor
	Members  int
	Idle     int // members without a partition
	Assigned map[string]Assigned
	Offsets  []Committed
	// Commits are the offsets committed since the group was loaded.
	Commits int64
}

// Assigned is how much of a topic the members of a group have.
type Assigned struct{ Members, Partitions int }

// Waiting is how many requests wait for a rebalance now.
func (g *Groups) Waiting() int64 { return g.waiting.Load() }

// Overview calls f for each group.
func (g *Groups) Overview(ctx context.Context, f func(Overview)) {
	for _, s := range g.all() {
		var some []Overview
		code := s.do(ctx, func(now time.Time) {
			for _, h := range s.groups {
				some = append(some, s.overview(h, now))
			}
		})
		if code != errcode.None {
			continue
		}
		for _, o := range some {
			f(o)
		}
	}
}

func (s *shard) overview(h *held, now time.Time) Overview {
	o := Overview{Listed: h.listed(), Assigned: map[string]Assigned{}, Commits: h.commits}
	if h.consumer != nil {
		o.Protocol = h.consumer.AssignorName()
		topics := s.world(now, h.id).Topics
		for _, m := range h.consumer.Members() {
			parts := map[string]int{}
			for p := range m.Assigned {
				if t, ok := topics.ByID(p.Topic); ok {
					parts[t.Name]++
				}
			}
			o.add(parts)
		}
	} else {
		snap := h.classic.Snapshot()
		o.Protocol = snap.Protocol
		for _, m := range snap.Members {
			o.add(partsOf(snap.ProtocolType, m.Assignment))
		}
	}
	for topic, parts := range h.offsets {
		for p, offset := range parts {
			o.Offsets = append(o.Offsets, Committed{TopicPartition: TopicPartition{topic, p}, Offset: offset})
		}
	}
	return o
}

// add adds a member, of whose partitions there are so many of each topic.
func (o *Overview) add(parts map[string]int) {
	o.Members++
	if len(parts) == 0 {
		o.Idle++
	}
	for topic, n := range parts {
		a := o.Assigned[topic]
		o.Assigned[topic] = Assigned{a.Members + 1, a.Partitions + n}
	}
}

// partsOf are how many partitions of each topic are in a classic member's assignment,
// which only consumers write in a form that is known.
func partsOf(protocolType string, assignment []byte) map[string]int {
	var a kmsg.ConsumerMemberAssignment
	if protocolType != "consumer" || len(assignment) == 0 || a.ReadFrom(assignment) != nil {
		return nil
	}
	out := map[string]int{}
	for _, t := range a.Topics {
		if len(t.Partitions) > 0 {
			out[t.Topic] += len(t.Partitions)
		}
	}
	return out
}
