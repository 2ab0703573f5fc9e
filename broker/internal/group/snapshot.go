package group

import (
	"slices"
	"time"
)

// Snapshot is what of a group survives a restart.
type Snapshot struct {
	ProtocolType string
	Protocol     string
	Generation   int32
	Leader       string
	Since        time.Time
	Members      []SnapshotMember
}

// SnapshotMember is a member with its metadata for the generation's protocol.
type SnapshotMember struct {
	ID               string
	InstanceID       *string
	ClientID         string
	ClientHost       string
	RebalanceTimeout time.Duration
	SessionTimeout   time.Duration
	Metadata         []byte
	Assignment       []byte
}

// Snapshot returns the group as it is now.
func (g *Group) Snapshot() Snapshot {
	s := Snapshot{
		ProtocolType: g.protocolType, Protocol: g.protocol,
		Generation: g.generation, Leader: g.leader, Since: g.since,
	}
	for _, m := range g.members {
		s.Members = append(s.Members, SnapshotMember{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			RebalanceTimeout: m.RebalanceTimeout, SessionTimeout: m.SessionTimeout,
			Metadata: m.metadata(g.protocol), Assignment: m.Assignment,
		})
	}
	return s
}

// Restore puts the group into a stored state. Members get a full session from now
// to come back in.
func (g *Group) Restore(now time.Time, s Snapshot) {
	g.protocolType, g.protocol, g.generation, g.leader = s.ProtocolType, s.Protocol, s.Generation, s.Leader
	g.members = nil
	for _, m := range s.Members {
		g.members = append(g.members, &Member{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			RebalanceTimeout: m.RebalanceTimeout, SessionTimeout: m.SessionTimeout,
			Protocols:  []Protocol{{Name: s.Protocol, Metadata: m.Metadata}},
			Assignment: m.Assignment, deadline: now.Add(m.SessionTimeout),
		})
	}
	g.state, g.since = Empty, s.Since
	if len(g.members) > 0 {
		g.state = Stable
		if !slices.ContainsFunc(g.members, func(m *Member) bool { return m.ID == g.leader }) {
			g.leader = g.members[0].ID
		}
	}
}

// Kill makes the group Dead: everyone who waits is told the code.
func (g *Group) Kill(now time.Time, code int16) {
	for _, m := range g.members {
		g.answerJoin(m, JoinResult{ErrorCode: code, Generation: -1, MemberID: m.ID})
		g.answerSync(m, SyncResult{ErrorCode: code})
	}
	g.members = nil
	clear(g.pending)
	g.enter(Dead, now)
}

// Adopt fills an empty group with the members of a consumer group that it takes the
// place of, at a generation, and lets them rebalance: from now on one of them assigns.
func (g *Group) Adopt(now time.Time, generation int32, members []Member) {
	g.protocolType, g.generation = "consumer", generation
	for _, m := range members {
		m.deadline = now.Add(m.SessionTimeout)
		g.members = append(g.members, &m)
	}
	g.protocol, g.leader = g.vote(), g.members[0].ID
	g.enter(Stable, now)
	g.dirty = true
	g.rebalance(now)
}
