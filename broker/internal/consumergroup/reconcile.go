package consumergroup

import "time"

// reconcile moves a member on towards its target, as far as it can go now. owned
// is what the member says that it owns; nil: it does not say.
func (g *Group) reconcile(w World, m *Member, owned Partitions) {
	if m.reconciled(g.assignmentEpoch) {
		return
	}
	if m.State == UnrevokedPartitions && (owned == nil || owned.meets(m.Revoking)) {
		return // what it has to revoke, it still owns
	}
	var assigned, revoking, free = Partitions{}, Partitions{}, Partitions{}
	unreleased := false
	for p := range m.Assigned {
		if m.Target.Has(p) {
			assigned[p] = struct{}{}
		} else {
			revoking[p] = struct{}{}
		}
	}
	for p := range m.Target {
		owner, held := g.owners[p]
		switch {
		case assigned.Has(p):
		case held && owner != m.ID:
			unreleased = true
		default: // also what it has just given up, and is to have again
			free[p] = struct{}{}
		}
	}
	state := MemberStable
	switch {
	case len(revoking) > 0 && (owned == nil || owned.meets(revoking)):
		// First it gives up what it must; only then it gets the new epoch, and more.
		m.rebalance = w.Now.Add(m.RebalanceTimeout)
		g.settle(m, m.Epoch, UnrevokedPartitions, assigned, revoking)
		return
	case unreleased:
		state = UnreleasedPartitions
	}
	for p := range free {
		assigned[p] = struct{}{}
	}
	m.rebalance = time.Time{}
	if m.Epoch == g.assignmentEpoch && m.State == state && len(revoking) == 0 && len(free) == 0 {
		return // it waits, as before
	}
	g.settle(m, g.assignmentEpoch, state, assigned, nil)
}

// assign computes a new target for every member, where the group epoch asks for one.
func (g *Group) assign(w World) {
	if g.epoch == g.assignmentEpoch {
		return
	}
	members := g.Members()
	in := make([]AssignorMember, len(members))
	for i, m := range members {
		in[i] = AssignorMember{ID: m.ID, InstanceID: m.InstanceID, Target: m.Target, Topics: map[TopicID]int32{}}
		for _, name := range g.subscribed(m) {
			if t, ok := w.Topics.ByName(name); ok {
				in[i].Topics[t.ID] = t.Partitions
			}
		}
	}
	for i, target := range g.assignor().Assign(in) {
		m := members[i]
		if len(target) != len(m.Target) || !target.within(m.Target) {
			m.Target = target
			g.changed(TargetAssignment, m.ID)
		}
	}
	g.assignmentEpoch = g.epoch
	g.changed(TargetEpoch, "")
}

// assignor is the one that most members prefer.
func (g *Group) assignor() Assignor {
	votes := map[string]int{}
	for _, m := range g.members {
		votes[m.Assignor]++
	}
	best, most := g.cfg.Assignors[0], 0
	for _, a := range g.cfg.Assignors {
		if votes[a.Name] > most {
			best, most = a, votes[a.Name]
		}
	}
	return best
}

// AssignorName names the assignor that the next target is computed with.
func (g *Group) AssignorName() string { return g.assignor().Name }
