package consumergroup

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Kind is a kind of record, with the number its key begins with in Kafka's format.
type Kind int16

// The kinds of records that keep a group.
const (
	GroupEpoch        Kind = 3
	MemberMetadata    Kind = 5
	TargetEpoch       Kind = 6
	TargetAssignment  Kind = 7
	CurrentAssignment Kind = 8
	RegularExpression Kind = 16
)

// Change names one record that is to be written: its kind, and the member's id or
// the expression where there is one record for each. What it has to say is the
// group's state; of what is no longer there a tombstone is written.
type Change struct {
	Kind Kind
	Name string
}

func (g *Group) changed(kind Kind, name string) { g.changes[Change{kind, name}] = struct{}{} }

// exists says whether there is something to write for a change, not a tombstone.
func (g *Group) exists(c Change) bool {
	switch c.Kind {
	case MemberMetadata, TargetAssignment, CurrentAssignment:
		return g.members[c.Name] != nil
	case RegularExpression:
		return g.regexes[c.Name] != nil
	}
	return true
}

// order is the order in which records are written: a member's tombstones from the
// inside out, everything else from the outside in.
var order = map[bool][]Kind{
	false: {CurrentAssignment, TargetAssignment, MemberMetadata, RegularExpression},
	true:  {MemberMetadata, RegularExpression, GroupEpoch, TargetAssignment, TargetEpoch, CurrentAssignment},
}

// TakeChanges returns the records to be written since it was last called; those
// with gone true are tombstones.
func (g *Group) TakeChanges(f func(c Change, gone bool)) {
	if len(g.changes) == 0 {
		return
	}
	all := slices.SortedFunc(maps.Keys(g.changes), func(a, b Change) int {
		there, there2 := g.exists(a), g.exists(b)
		if there != there2 {
			if there {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(slices.Index(order[there], a.Kind), slices.Index(order[there], b.Kind)), cmp.Compare(a.Name, b.Name))
	})
	clear(g.changes)
	for _, c := range all {
		f(c, !g.exists(c))
	}
}

// Everything returns every record that keeps the group, in the order in which
// tombstones for them are to be written.
func (g *Group) Everything() []Change {
	var out []Change
	for _, m := range g.Members() {
		for _, kind := range order[false][:3] {
			out = append(out, Change{kind, m.ID})
		}
	}
	for _, expr := range slices.Sorted(maps.Keys(g.regexes)) {
		out = append(out, Change{RegularExpression, expr})
	}
	return append(out, Change{TargetEpoch, ""}, Change{GroupEpoch, ""})
}

// Member returns a member, or nil; it must not be changed.
func (g *Group) Member(id string) *Member { return g.members[id] }

// TopicsHash sums up the subscribed topics, for the record of the group epoch.
func (g *Group) TopicsHash() int64 { return g.topicsHash }

// Regex returns what a subscribed expression was resolved to.
func (g *Group) Regex(expr string) (topics []string, version int64, at time.Time) {
	r := g.regexes[expr]
	return r.Topics, r.Version, r.At
}

// The Restore methods put records back, in the order they were written; Restored
// ends that. A record's tombstone is restored by Forget.

// RestoreEpoch restores the group epoch.
func (g *Group) RestoreEpoch(epoch int32, topicsHash int64) {
	g.epoch, g.topicsHash = epoch, topicsHash
}

// RestoreTargetEpoch restores the assignment epoch.
func (g *Group) RestoreTargetEpoch(epoch int32) { g.assignmentEpoch = epoch }

func (g *Group) restored(id string) *Member {
	m := g.members[id]
	if m == nil {
		m = &Member{ID: id, State: MemberStable}
		g.members[id] = m
	}
	return m
}

// RestoreMember restores what a member said about itself; its assignments stay.
func (g *Group) RestoreMember(said Member) {
	m := g.restored(said.ID)
	said.Epoch, said.PreviousEpoch, said.State = m.Epoch, m.PreviousEpoch, m.State
	said.Assigned, said.Revoking, said.Target, said.Since = m.Assigned, m.Revoking, m.Target, m.Since
	*m = said
}

// RestoreTarget restores a member's target.
func (g *Group) RestoreTarget(id string, target Partitions) { g.restored(id).Target = target }

// RestoreCurrent restores how far a member has got. Partitions without a since are
// taken to be of the epoch.
func (g *Group) RestoreCurrent(id string, epoch, previous int32, state MemberState, assigned, revoking Partitions, since map[Partition]int32) {
	m := g.restored(id)
	g.release(m)
	m.Epoch, m.PreviousEpoch, m.State, m.Assigned, m.Revoking, m.Since = epoch, previous, state, assigned, revoking, since
	for _, s := range []Partitions{assigned, revoking} {
		for p := range s {
			if _, ok := since[p]; !ok {
				since[p] = epoch
			}
		}
	}
	g.hold(m)
}

// RestoreRegex restores what an expression was resolved to.
func (g *Group) RestoreRegex(expr string, topics []string, version int64, at time.Time) error {
	re, err := compile(expr)
	if err != nil {
		return err
	}
	g.regexes[expr] = &resolved{re: re, Topics: topics, Version: max(version, 0), At: at}
	return nil
}

// Forget takes in a tombstone.
func (g *Group) Forget(c Change) {
	switch c.Kind {
	case MemberMetadata:
		if m := g.members[c.Name]; m != nil {
			g.release(m)
			delete(g.members, c.Name)
		}
	case TargetAssignment:
		if m := g.members[c.Name]; m != nil {
			m.Target = nil
		}
	case CurrentAssignment:
		if m := g.members[c.Name]; m != nil {
			g.release(m)
			m.Epoch, m.PreviousEpoch, m.State, m.Assigned, m.Revoking, m.Since = 0, 0, MemberStable, nil, nil, nil
		}
	case RegularExpression:
		delete(g.regexes, c.Name)
	case GroupEpoch:
		g.epoch, g.topicsHash = 0, 0
	case TargetEpoch:
		g.assignmentEpoch = 0
	}
}

// Restored ends the restoring: every member gets its full time from now, to be
// heard of again.
func (g *Group) Restored(w World) {
	for _, m := range g.Members() {
		m.session = w.Now.Add(m.sessionTimeout(w))
		if m.State == UnrevokedPartitions && m.Classic == nil {
			m.rebalance = w.Now.Add(m.RebalanceTimeout)
		}
	}
}
