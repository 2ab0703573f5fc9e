package group

import (
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// Offset is a committed offset.
type Offset struct {
	Offset      int64
	LeaderEpoch int32 // -1 when the client gave none
	Metadata    string
	CommitTime  time.Time
}

// CheckCommit says whether a commit is allowed, and keeps the committing member
// alive. A generation of -1 and no member id come from a client that assigns its
// partitions itself; that is fine while the group has no members.
func (g *Group) CheckCommit(now time.Time, memberID string, instanceID *string, generation int32) int16 {
	if g.state == Dead {
		return errcode.UnknownMemberID
	}
	if generation < 0 && g.state == Empty {
		return errcode.None
	}
	if generation < 0 && memberID == "" && instanceID == nil {
		return errcode.UnknownMemberID
	}
	m, code := g.check(memberID, instanceID)
	switch {
	case code != errcode.None:
		return code
	case generation != g.generation:
		return errcode.IllegalGeneration
	case g.state == CompletingRebalance:
		return errcode.RebalanceInProgress
	}
	m.deadline = now.Add(m.SessionTimeout)
	return errcode.None
}

// SetOffset stores a committed offset.
func (g *Group) SetOffset(topic string, partition int32, o Offset) {
	parts := g.offsets[topic]
	if parts == nil {
		parts = map[int32]Offset{}
		g.offsets[topic] = parts
	}
	parts[partition] = o
}

// DeleteOffset forgets a committed offset.
func (g *Group) DeleteOffset(topic string, partition int32) {
	delete(g.offsets[topic], partition)
	if len(g.offsets[topic]) == 0 {
		delete(g.offsets, topic)
	}
}

// Offset returns a committed offset.
func (g *Group) Offset(topic string, partition int32) (Offset, bool) {
	o, ok := g.offsets[topic][partition]
	return o, ok
}

// Offsets returns every committed offset by topic and partition; it must not be changed.
func (g *Group) Offsets() map[string]map[int32]Offset { return g.offsets }

// EmptySince returns when the group lost its last member.
func (g *Group) EmptySince() (time.Time, bool) { return g.since, g.state == Empty }
