package consumergroup

import (
	"fmt"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// Heartbeat is a ConsumerGroupHeartbeat request. Fields that are nil are as in the
// member's last one.
type Heartbeat struct {
	Version          int16
	MemberID         string
	MemberEpoch      int32
	InstanceID       *string
	RackID           *string
	RebalanceTimeout time.Duration // negative: as before
	Topics           []string
	Regex            *string
	Assignor         *string
	Owned            Partitions
	ClientID         string
	ClientHost       string
	// Visible says whether the client may know of a topic, for its expression.
	Visible func(topic string) bool
}

// HeartbeatResult answers a Heartbeat.
type HeartbeatResult struct {
	ErrorCode   int16
	Message     string // of an error
	MemberID    string
	MemberEpoch int32
	// Assignment is what the member may consume, where Assigned says that it is told.
	Assigned   bool
	Assignment Partitions
}

func (f *failure) heartbeat() HeartbeatResult {
	return HeartbeatResult{ErrorCode: f.code, Message: f.message}
}

func refuse(code int16, format string, args ...any) *failure {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// Check refuses a request that no group could answer.
func (c *Config) Check(r Heartbeat) (HeartbeatResult, bool) {
	invalid := func(message string) (HeartbeatResult, bool) {
		return HeartbeatResult{ErrorCode: errcode.InvalidRequest, Message: message}, false
	}
	empty := func(s *string) bool { return s != nil && *s == "" }
	join := r.MemberEpoch == epochJoin
	switch {
	case empty(r.InstanceID):
		return invalid("InstanceId can't be empty.")
	case empty(r.RackID):
		return invalid("RackId can't be empty.")
	case r.MemberID == "" && (r.Version >= 1 || !join):
		return invalid("MemberId can't be empty.")
	case len(r.MemberID) >= 32<<10: // it is part of records' keys
		return invalid("MemberId is too long.")
	case r.MemberEpoch < epochLeaveStatic:
		return invalid("MemberEpoch is invalid.")
	case r.MemberEpoch == epochLeaveStatic && r.InstanceID == nil:
		return invalid("InstanceId can't be null.")
	case join && r.RebalanceTimeout < 0:
		return invalid("RebalanceTimeoutMs must be provided in first request.")
	case join && (r.Owned == nil || len(r.Owned) > 0):
		return invalid("TopicPartitions must be empty when (re-)joining.")
	case join && r.Topics == nil && r.Regex == nil:
		return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	}
	if r.Assignor != nil && !slices.ContainsFunc(c.Assignors, func(a Assignor) bool { return a.Name == *r.Assignor }) {
		return HeartbeatResult{ErrorCode: errcode.UnsupportedAssignor, Message: "ServerAssignor " + *r.Assignor + " is not supported."}, false
	}
	return HeartbeatResult{}, true
}

// Heartbeat takes a member in, keeps it alive, moves it on towards its target, or
// lets it go. The request has passed Check.
func (g *Group) Heartbeat(w World, r Heartbeat) HeartbeatResult {
	if r.MemberEpoch == epochLeave || r.MemberEpoch == epochLeaveStatic {
		return g.leave(w, r)
	}
	if r.MemberID == "" {
		r.MemberID = g.cfg.NewID()
	}
	if r.Regex != nil {
		if err := g.addRegex(*r.Regex); err != nil {
			return refuse(errcode.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", *r.Regex, err).heartbeat()
		}
		defer g.forgetRegexes() // of a request that is refused below
	}
	m, failed := g.enter(r)
	if failed != nil {
		return failed.heartbeat()
	}
	before := m.Assigned
	bump := g.update(m, func(m *Member) {
		m.ClientID, m.ClientHost, m.Classic = r.ClientID, r.ClientHost, nil
		m.InstanceID, m.RackID = or(r.InstanceID, m.InstanceID), or(r.RackID, m.RackID)
		if r.RebalanceTimeout >= 0 {
			m.RebalanceTimeout = r.RebalanceTimeout
		}
		if r.Topics != nil {
			m.Topics = sorted(r.Topics)
		}
		if r.Regex != nil {
			m.Regex = *r.Regex
		}
		if r.Assignor != nil {
			m.Assignor = *r.Assignor
		}
	})
	g.advance(w, m, bump, r.Owned, r.Visible)
	m.session, m.join, m.sync = w.Now.Add(w.SessionTimeout), time.Time{}, time.Time{}

	out := HeartbeatResult{MemberID: m.ID, MemberEpoch: m.Epoch}
	full := r.RebalanceTimeout >= 0 && (r.Topics != nil || r.Regex != nil) && r.Owned != nil
	if r.MemberEpoch == epochJoin || full || len(before) != len(m.Assigned) || !before.within(m.Assigned) {
		out.Assigned, out.Assignment = true, m.Assigned
	}
	return out
}

// advance lets the group see a member's request: a new target if one is due, and
// the member's next step to it.
func (g *Group) advance(w World, m *Member, bump bool, owned Partitions, visible func(string) bool) {
	if bump {
		g.forgetRegexes()
	}
	if g.refresh(w, bump, visible) || bump {
		g.bump()
	}
	g.assign(w)
	g.reconcile(w, m, owned)
}

// enter finds the member that a heartbeat comes from, or makes it.
func (g *Group) enter(r Heartbeat) (*Member, *failure) {
	m := g.members[r.MemberID]
	if r.InstanceID != nil {
		static := g.instance(*r.InstanceID)
		switch {
		case static == nil && r.MemberEpoch != epochJoin:
			return nil, refuse(errcode.UnknownMemberID, "Instance id %s is unknown.", *r.InstanceID)
		case static != nil && static.ID != r.MemberID && r.MemberEpoch != epochJoin:
			return nil, g.fenced(r.MemberID, *r.InstanceID, static)
		case static != nil && static.ID != r.MemberID && static.Epoch != epochLeaveStatic && static.Classic == nil:
			return nil, refuse(errcode.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.", r.MemberID, *r.InstanceID, static.ID)
		case static != nil && static.ID != r.MemberID:
			return g.replace(static, r.MemberID), nil
		}
		if static != nil {
			m = static
		}
	}
	switch {
	case m == nil && r.MemberEpoch == epochJoin:
		if len(g.members) >= g.cfg.MaxSize {
			return nil, refuse(errcode.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", g.cfg.MaxSize)
		}
		return g.add(r.MemberID), nil
	case m == nil:
		return nil, refuse(errcode.UnknownMemberID, "Member %s is not a member of group %s.", r.MemberID, g.ID)
	case r.MemberEpoch == epochJoin:
		// It starts over, owning nothing: it was fenced, or did not hear its answer.
		return m, nil
	case r.MemberEpoch > m.Epoch:
		return nil, refuse(errcode.FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", r.MemberEpoch, m.Epoch)
	case r.MemberEpoch < m.Epoch && (r.MemberEpoch != m.PreviousEpoch || r.Owned == nil || !r.Owned.within(m.Assigned)):
		// With the previous epoch it has merely not heard of its new one.
		return nil, refuse(errcode.FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", r.MemberEpoch, m.Epoch)
	}
	return m, nil
}

func (g *Group) fenced(memberID, instanceID string, by *Member) *failure {
	return refuse(errcode.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", memberID, instanceID, by.ID)
}

// add makes a member that has nothing yet.
func (g *Group) add(id string) *Member {
	m := &Member{ID: id, State: MemberStable, RebalanceTimeout: -1}
	g.members[id] = m
	g.changed(MemberMetadata, id)
	return m
}

// replace gives the place of a static member to its instance's new incarnation:
// what it held and is to get stays, so nobody else has to move.
func (g *Group) replace(old *Member, id string) *Member {
	g.drop(old)
	m := old.clone()
	m.ID, m.Epoch, m.PreviousEpoch = id, 0, 0
	g.members[id] = m
	g.hold(m)
	g.changed(MemberMetadata, id)
	g.changed(TargetAssignment, id)
	g.changed(CurrentAssignment, id)
	return m
}

// update changes what a member says about itself. It says whether it subscribes to
// something else now.
func (g *Group) update(m *Member, change func(*Member)) bool {
	old := m.clone()
	change(m)
	if !old.sameMetadata(m) {
		g.changed(MemberMetadata, m.ID)
	}
	isNew := old.RebalanceTimeout < 0
	return isNew || old.Regex != m.Regex || !slices.Equal(old.Topics, m.Topics)
}

func (m *Member) sameMetadata(o *Member) bool {
	return same(m.InstanceID, o.InstanceID) && same(m.RackID, o.RackID) && m.ClientID == o.ClientID && m.ClientHost == o.ClientHost &&
		m.RebalanceTimeout == o.RebalanceTimeout && slices.Equal(m.Topics, o.Topics) && m.Regex == o.Regex && m.Assignor == o.Assignor &&
		m.Classic.same(o.Classic)
}

// leave lets a member go; a static one may only be away for a while.
func (g *Group) leave(w World, r Heartbeat) HeartbeatResult {
	m := g.members[r.MemberID]
	if r.InstanceID != nil {
		m = g.instance(*r.InstanceID)
		if m != nil && m.ID != r.MemberID {
			return g.fenced(r.MemberID, *r.InstanceID, m).heartbeat()
		}
	}
	if m == nil {
		return refuse(errcode.UnknownMemberID, "Member %s is not a member of group %s.", r.MemberID, g.ID).heartbeat()
	}
	if r.MemberEpoch == epochLeaveStatic {
		// Its partitions stay with it until it is back, or its session ends.
		g.settle(m, epochLeaveStatic, m.State, m.Assigned, nil)
		m.rebalance = time.Time{}
	} else {
		g.remove(w, m)
	}
	return HeartbeatResult{MemberID: r.MemberID, MemberEpoch: r.MemberEpoch}
}

func or(s, otherwise *string) *string {
	if s != nil {
		return s
	}
	return otherwise
}

func same(a, b *string) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
