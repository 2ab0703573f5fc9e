package consumergroup

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// Assignor computes the target of every member of a group.
type Assignor struct {
	Name string
	// Assign returns the partitions of each member, in the order of the members,
	// which come sorted by id. Every partition of a topic that someone subscribes to
	// is given to exactly one of its subscribers.
	Assign func(members []AssignorMember) []Partitions
}

// AssignorMember is a member as an assignor sees it.
type AssignorMember struct {
	ID         string
	InstanceID *string
	Topics     map[TopicID]int32 // subscribed to, with their partitions
	Target     Partitions        // what it had before
}

// Assignors are the assignors there are, by Kafka's names.
var Assignors = []Assignor{{Name: "uniform", Assign: uniform}, {Name: "range", Assign: ranges}}

// allTopics returns the topics that somebody subscribes to, sorted, with their partitions.
func allTopics(members []AssignorMember) ([]TopicID, map[TopicID]int32) {
	sizes := map[TopicID]int32{}
	for _, m := range members {
		maps.Copy(sizes, m.Topics)
	}
	return slices.SortedFunc(maps.Keys(sizes), func(a, b TopicID) int { return bytes.Compare(a[:], b[:]) }), sizes
}

// ranges gives each subscriber of a topic a run of its partitions, in the order
// of instance and member ids, so that topics of equal size are split alike and
// records with equal keys meet at one member.
func ranges(members []AssignorMember) []Partitions {
	out := make([]Partitions, len(members))
	order := make([]int, len(members))
	for i := range members {
		out[i], order[i] = Partitions{}, i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := members[a].InstanceID, members[b].InstanceID
		switch {
		case x != nil && y != nil:
			return cmp.Compare(*x, *y)
		case x != nil:
			return -1
		case y != nil:
			return 1
		}
		return 0 // they come sorted by id
	})
	topics, sizes := allTopics(members)
	for _, topic := range topics {
		var subscribers []int
		for _, i := range order {
			if _, ok := members[i].Topics[topic]; ok {
				subscribers = append(subscribers, i)
			}
		}
		each, more := sizes[topic]/int32(len(subscribers)), int(sizes[topic])%len(subscribers)
		next := int32(0)
		for n, i := range subscribers {
			end := next + each
			if n < more {
				end++
			}
			for ; next < end; next++ {
				out[i][Partition{topic, next}] = struct{}{}
			}
		}
	}
	return out
}
