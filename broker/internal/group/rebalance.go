package group

import (
	"math"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// rebalance starts collecting members for the next generation.
func (g *Group) rebalance(now time.Time) {
	if g.state == CompletingRebalance {
		for _, m := range g.members {
			m.Assignment = nil
			g.answerSync(m, SyncResult{ErrorCode: errcode.RebalanceInProgress})
		}
	}
	g.initial = g.state == Empty
	if g.initial {
		delay := min(g.cfg.InitialRebalanceDelay, g.longestRebalance())
		g.joinDeadline = now.Add(delay)
		g.initialLeft = g.longestRebalance() - delay
		g.initialAdded = false
	} else {
		g.joinDeadline = now.Add(g.longestRebalance())
	}
	g.syncDeadline = time.Time{}
	for _, m := range g.members {
		m.unsynced = false
	}
	g.enter(PreparingRebalance, now)
	g.maybeCompleteJoin(now)
}

// maybeCompleteJoin ends the join phase when nobody is missing, or its time is up.
func (g *Group) maybeCompleteJoin(now time.Time) {
	if g.state != PreparingRebalance {
		return
	}
	due := !g.joinDeadline.After(now)
	if g.initial {
		if !due {
			return
		}
		if g.initialAdded && g.initialLeft > 0 {
			delay := min(g.cfg.InitialRebalanceDelay, g.initialLeft)
			g.initialLeft -= delay
			g.initialAdded = false
			if delay > 0 {
				g.joinDeadline = now.Add(delay)
				return
			}
		}
		g.completeJoin(now)
		return
	}
	missing := len(g.pending) > 0 || slices.ContainsFunc(g.members, func(m *Member) bool { return m.join == 0 })
	if !missing || due {
		g.completeJoin(now)
	}
}

// completeJoin forms the next generation of those who have joined. Static members
// are kept although they did not join: their instances are expected back until
// their sessions end.
func (g *Group) completeJoin(now time.Time) {
	g.initial = false
	g.members = slices.DeleteFunc(g.members, func(m *Member) bool {
		return m.join == 0 && m.InstanceID == nil
	})
	if len(g.members) == 0 {
		g.nextGeneration()
		g.protocol, g.leader = "", ""
		g.enter(Empty, now)
		g.dirty = true
		return
	}
	if lead := g.member(g.leader); lead == nil || lead.join == 0 {
		i := slices.IndexFunc(g.members, func(m *Member) bool { return m.join != 0 })
		if i < 0 {
			// Only static members are left and none came back yet: keep waiting.
			g.joinDeadline = now.Add(g.longestRebalance())
			return
		}
		g.leader = g.members[i].ID
	}
	g.nextGeneration()
	g.protocol = g.vote()
	g.enter(CompletingRebalance, now)
	g.syncDeadline = now.Add(g.longestRebalance())
	for _, m := range g.members {
		m.unsynced = true
		m.Assignment = nil
		if m.join != 0 {
			m.fresh = false
			m.deadline = now.Add(m.SessionTimeout)
			g.answerJoin(m, g.joined(m))
		}
	}
}

// nextGeneration raises the generation; after the last one it begins again.
func (g *Group) nextGeneration() {
	if g.generation == math.MaxInt32 {
		g.generation = 0
	}
	g.generation++
}

// joined is the answer to a member that is part of the current generation.
func (g *Group) joined(m *Member) JoinResult {
	r := JoinResult{
		Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol,
		Leader: g.leader, MemberID: m.ID,
	}
	if m.ID == g.leader {
		r.Members = g.joinMembers()
	}
	return r
}

func (g *Group) joinMembers() []JoinMember {
	out := make([]JoinMember, 0, len(g.members))
	for _, m := range g.members {
		out = append(out, JoinMember{ID: m.ID, InstanceID: m.InstanceID, Metadata: m.metadata(g.protocol)})
	}
	return out
}

// remove takes a member out, answers what it waits for, and lets the group react.
func (g *Group) remove(m *Member, now time.Time) {
	g.drop(m)
	g.afterRemoval(now)
}

func (g *Group) drop(m *Member) {
	g.answerJoin(m, JoinResult{ErrorCode: errcode.UnknownMemberID, MemberID: m.ID})
	g.answerSync(m, SyncResult{ErrorCode: errcode.UnknownMemberID})
	g.members = slices.DeleteFunc(g.members, func(o *Member) bool { return o == m })
	if g.leader == m.ID {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].ID
		}
	}
}

func (g *Group) afterRemoval(now time.Time) {
	switch g.state {
	case Stable, CompletingRebalance:
		g.rebalance(now)
	case PreparingRebalance:
		g.maybeCompleteJoin(now)
	}
}

// Tick lets time pass: sessions end, join and sync phases close.
func (g *Group) Tick(now time.Time) {
	for id, until := range g.pending {
		if !until.After(now) {
			delete(g.pending, id)
		}
	}
	for _, m := range slices.Clone(g.members) {
		// A member whose request waits here is alive, except that one who was never
		// answered may have left while it waited.
		waits := m.join != 0 || m.sync != 0
		if m.deadline.After(now) || (waits && !m.fresh) {
			continue
		}
		g.remove(m, now)
	}
	if !g.syncDeadline.IsZero() && !g.syncDeadline.After(now) {
		g.syncDeadline = time.Time{}
		late := slices.DeleteFunc(slices.Clone(g.members), func(m *Member) bool { return !m.unsynced })
		for _, m := range late {
			g.drop(m)
		}
		if len(late) > 0 {
			g.afterRemoval(now)
		}
	}
	g.maybeCompleteJoin(now)
}

// Next returns when Tick has to be called next; zero means that nothing is due.
func (g *Group) Next() time.Time {
	var next time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, until := range g.pending {
		earlier(until)
	}
	for _, m := range g.members {
		if (m.join == 0 && m.sync == 0) || m.fresh {
			earlier(m.deadline)
		}
	}
	earlier(g.syncDeadline)
	if g.state == PreparingRebalance {
		earlier(g.joinDeadline)
	}
	return next
}
