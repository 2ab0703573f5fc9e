package consumergroup

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// TopicID is a topic's id.
type TopicID = [16]byte

// Partition names a partition.
type Partition struct {
	Topic TopicID
	Index int32
}

func comparePartitions(a, b Partition) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Index, b.Index))
}

// Partitions is a set of partitions. Nil is the empty set, except where a request
// says that nil means unchanged.
type Partitions map[Partition]struct{}

// Of returns a set of partitions.
func Of(ps ...Partition) Partitions {
	s := make(Partitions, len(ps))
	for _, p := range ps {
		s[p] = struct{}{}
	}
	return s
}

// Has says whether p is in the set.
func (s Partitions) Has(p Partition) bool {
	_, ok := s[p]
	return ok
}

// Sorted returns the partitions by topic and index.
func (s Partitions) Sorted() []Partition {
	return slices.SortedFunc(maps.Keys(s), comparePartitions)
}

// TopicPartitions are partitions of one topic.
type TopicPartitions struct {
	Topic      TopicID
	Partitions []int32
}

// ByTopic returns the set grouped by topic, in order.
func (s Partitions) ByTopic() []TopicPartitions {
	var out []TopicPartitions
	for _, p := range s.Sorted() {
		if n := len(out); n == 0 || out[n-1].Topic != p.Topic {
			out = append(out, TopicPartitions{Topic: p.Topic})
		}
		last := &out[len(out)-1]
		last.Partitions = append(last.Partitions, p.Index)
	}
	return out
}

func (s Partitions) within(other Partitions) bool {
	for p := range s {
		if !other.Has(p) {
			return false
		}
	}
	return true
}

func (s Partitions) meets(other Partitions) bool {
	for p := range s {
		if other.Has(p) {
			return true
		}
	}
	return false
}
