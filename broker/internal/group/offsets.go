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

// Offsets are the committed offsets of a group, by topic and partition.
type Offsets map[string]map[int32]Offset

// Set stores a committed offset.
func (o Offsets) Set(topic string, partition int32, offset Offset) {
	parts := o[topic]
	if parts == nil {
		parts = map[int32]Offset{}
		o[topic] = parts
	}
	parts[partition] = offset
}

// Delete forgets a committed offset.
func (o Offsets) Delete(topic string, partition int32) {
	delete(o[topic], partition)
	if len(o[topic]) == 0 {
		delete(o, topic)
	}
}

// Get returns a committed offset.
func (o Offsets) Get(topic string, partition int32) (Offset, bool) {
	offset, ok := o[topic][partition]
	return offset, ok
}

// EmptySince returns when the group lost its last member.
func (g *Group) EmptySince() (time.Time, bool) { return g.since, g.state == Empty }
