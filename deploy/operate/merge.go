package operate

import (
	"cmp"

	"github.com/twmb/franz-go/pkg/kgo"
)

// merger puts the records of several partitions into one sequence by time. Each
// partition's own order is kept whatever its times say.
//
// Invariant: a record leaves only when every open partition has one waiting or
// has ended, so that nothing with an earlier time can come later.
type merger struct {
	lanes map[partition]*lane
}

// lane is what waits of a partition.
type lane struct {
	waiting []*kgo.Record
	ended   bool
}

func newMerger(parts []partition) *merger {
	m := &merger{lanes: map[partition]*lane{}}
	for _, p := range parts {
		m.lanes[p] = &lane{}
	}
	return m
}

// add takes the next record of a partition.
func (m *merger) add(r *kgo.Record) {
	l := m.lanes[partition{r.Topic, r.Partition}]
	l.waiting = append(l.waiting, r)
}

// end says that nothing more will be added to a partition.
func (m *merger) end(p partition) { m.lanes[p].ended = true }

// held is how many records of a partition wait.
func (m *merger) held(p partition) int { return len(m.lanes[p].waiting) }

// done reports whether all partitions have ended and nothing waits.
func (m *merger) done() bool {
	for _, l := range m.lanes {
		if !l.ended || len(l.waiting) > 0 {
			return false
		}
	}
	return true
}

// next returns the earliest record, or nil while a partition must be waited for.
func (m *merger) next() *kgo.Record {
	var from *lane
	for _, l := range m.lanes {
		if len(l.waiting) == 0 {
			if !l.ended {
				return nil
			}
			continue
		}
		if from == nil || earlier(l.waiting[0], from.waiting[0]) {
			from = l
		}
	}
	if from == nil {
		return nil
	}
	r := from.waiting[0]
	from.waiting = from.waiting[1:]
	return r
}

func earlier(a, b *kgo.Record) bool {
	return cmp.Or(a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition)) < 0
}
