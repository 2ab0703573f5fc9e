package consumergroup

import "time"

// deadline is when a member is removed unless it moves.
func (m *Member) deadline() time.Time {
	next := m.session
	for _, t := range []time.Time{m.rebalance, m.join, m.sync} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// Next returns when Tick has to be called next; zero means that nothing is due.
func (g *Group) Next() time.Time {
	var next time.Time
	for _, m := range g.members {
		if t := m.deadline(); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next
}

// Tick lets time pass: members that were not heard of in time are removed. They
// are named, for the log.
func (g *Group) Tick(w World) (removed []string) {
	for _, m := range g.Members() {
		if !m.deadline().After(w.Now) {
			g.remove(w, m)
			removed = append(removed, m.ID)
		}
	}
	return removed
}
