package group

import (
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// JoinRequest is a JoinGroup request.
type JoinRequest struct {
	Ref              Ref
	Version          int16
	MemberID         string
	InstanceID       *string
	ClientID         string
	ClientHost       string
	ProtocolType     string
	Protocols        []Protocol
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	MaxBytes         int // of the group's record; 0: not bounded
}

// JoinResult answers a JoinRequest.
type JoinResult struct {
	ErrorCode      int16
	Generation     int32
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	MemberID       string
	Members        []JoinMember // for the leader only
}

// JoinMember tells the leader of one member.
type JoinMember struct {
	ID         string
	InstanceID *string
	Metadata   []byte
}

// SyncRequest is a SyncGroup request.
type SyncRequest struct {
	Ref          Ref
	MemberID     string
	InstanceID   *string
	Generation   int32
	ProtocolType *string
	Protocol     *string
	Assignments  map[string][]byte // from the leader
	MaxBytes     int               // of the group's record; 0: not bounded
}

// SyncResult answers a SyncRequest.
type SyncResult struct {
	ErrorCode    int16
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Join enters a member, or takes it into the next generation. The answer comes as an effect.
func (g *Group) Join(now time.Time, r JoinRequest) {
	refuse := func(code int16) {
		g.effects = append(g.effects, Effect{Ref: r.Ref, Join: &JoinResult{ErrorCode: code, Generation: -1, MemberID: r.MemberID}})
	}
	if r.SessionTimeout < g.cfg.MinSessionTimeout || r.SessionTimeout > g.cfg.MaxSessionTimeout {
		refuse(errcode.InvalidSessionTimeout)
		return
	}
	if g.tooLarge(&r) {
		refuse(errcode.MessageTooLarge)
		return
	}
	if r.MemberID == "" {
		g.joinUnknown(now, r, refuse)
		return
	}
	if _, ok := g.pending[r.MemberID]; ok {
		if !g.supports(r.ProtocolType, r.Protocols, nil) {
			refuse(errcode.InconsistentGroupProtocol)
			return
		}
		delete(g.pending, r.MemberID)
		g.add(now, r, r.MemberID)
		return
	}
	m, code := g.check(r.MemberID, r.InstanceID)
	if code != errcode.None {
		refuse(code)
		return
	}
	if !g.supports(r.ProtocolType, r.Protocols, m) {
		refuse(errcode.InconsistentGroupProtocol)
		return
	}
	switch {
	case g.state == CompletingRebalance && m.speaks(r.Protocols),
		g.state == Stable && m.ID != g.leader && m.speaks(r.Protocols):
		// The member did not hear the answer it was given: it hears it again.
		m.ClientID, m.ClientHost = r.ClientID, r.ClientHost
		m.deadline = now.Add(m.SessionTimeout)
		m.join = r.Ref
		g.answerJoin(m, g.joined(m))
	default:
		g.update(m, now, r)
		if g.state == PreparingRebalance {
			g.maybeCompleteJoin(now)
		} else {
			g.rebalance(now)
		}
	}
}

// joinUnknown handles a join without member id.
func (g *Group) joinUnknown(now time.Time, r JoinRequest, refuse func(int16)) {
	prefix := r.ClientID
	var old *Member
	if r.InstanceID != nil {
		prefix = *r.InstanceID
		old = g.instance(*r.InstanceID)
	}
	if !g.supports(r.ProtocolType, r.Protocols, old) {
		refuse(errcode.InconsistentGroupProtocol)
		return
	}
	id := prefix + "-" + g.cfg.NewID()
	switch {
	case old != nil:
		g.replace(now, old, r, id)
	case len(g.members)+len(g.pending) >= g.cfg.MaxSize:
		refuse(errcode.GroupMaxSizeReached)
	case r.InstanceID == nil && r.Version >= 4:
		// The client comes back with this id, so that a join that it gives up
		// waiting for does not leave a member nobody is.
		g.pending[id] = now.Add(r.SessionTimeout)
		g.effects = append(g.effects, Effect{Ref: r.Ref, Join: &JoinResult{ErrorCode: errcode.MemberIDRequired, Generation: -1, MemberID: id}})
	default:
		g.add(now, r, id)
	}
}

// add enters a new member.
func (g *Group) add(now time.Time, r JoinRequest, id string) {
	m := &Member{ID: id, fresh: true, InstanceID: r.InstanceID}
	if len(g.members) == 0 {
		g.protocolType = r.ProtocolType
		g.leader = id
	}
	g.members = append(g.members, m)
	g.update(m, now, r)
	if g.state == PreparingRebalance {
		g.initialAdded = g.initialAdded || g.initial
		g.maybeCompleteJoin(now)
		return
	}
	g.rebalance(now)
}

// update takes over what a join says of its member, and lets it wait.
func (g *Group) update(m *Member, now time.Time, r JoinRequest) {
	// A member that asks again has given up on its earlier request.
	g.answerJoin(m, JoinResult{ErrorCode: errcode.RebalanceInProgress, Generation: -1, MemberID: m.ID})
	m.ClientID, m.ClientHost = r.ClientID, r.ClientHost
	m.Protocols = r.Protocols
	m.SessionTimeout, m.RebalanceTimeout = r.SessionTimeout, r.RebalanceTimeout
	m.join, m.joinV = r.Ref, r.Version
	if m.fresh {
		m.deadline = now.Add(newMemberTimeout)
	} else {
		m.deadline = now.Add(m.SessionTimeout)
	}
	if len(g.members) == 1 {
		g.protocolType = r.ProtocolType
	}
}

// replace gives the place of a static member to its instance's new incarnation:
// the assignment stays, and when the protocol would too, so does the generation.
func (g *Group) replace(now time.Time, m *Member, r JoinRequest, id string) {
	g.answerJoin(m, JoinResult{ErrorCode: errcode.FencedInstanceID, Generation: -1, MemberID: m.ID})
	g.answerSync(m, SyncResult{ErrorCode: errcode.FencedInstanceID})
	lead, oldID := g.leader == m.ID, m.ID
	m.ID = id
	if lead {
		g.leader = id
	}
	g.update(m, now, r)
	switch g.state {
	case Stable:
		if g.vote() != g.protocol {
			g.rebalance(now)
			return
		}
		g.dirty = true
		m.deadline = now.Add(m.SessionTimeout)
		answer := g.joined(m)
		if r.Version >= 9 {
			answer.SkipAssignment = lead
		} else if lead {
			// Older clients cannot be told to leave the assignment alone, so this one
			// is told that the leader is who it was before.
			answer.Leader, answer.Members = oldID, nil
		}
		g.answerJoin(m, answer)
	case PreparingRebalance:
		g.maybeCompleteJoin(now)
	default:
		g.rebalance(now)
	}
}

// Sync waits for, or brings, the assignment of a generation. The answer comes as an effect.
func (g *Group) Sync(now time.Time, r SyncRequest) {
	answer := func(s SyncResult) { g.effects = append(g.effects, Effect{Ref: r.Ref, Sync: &s}) }
	m, code := g.check(r.MemberID, r.InstanceID)
	switch {
	case code != errcode.None:
	case r.Generation != g.generation:
		code = errcode.IllegalGeneration
	case r.ProtocolType != nil && *r.ProtocolType != g.protocolType,
		r.Protocol != nil && *r.Protocol != g.protocol:
		code = errcode.InconsistentGroupProtocol
	case g.state == PreparingRebalance:
		code = errcode.RebalanceInProgress
	case g.state == Empty || g.state == Dead:
		code = errcode.UnknownMemberID
	}
	if code != errcode.None {
		answer(SyncResult{ErrorCode: code})
		return
	}
	m.unsynced = false
	m.deadline = now.Add(m.SessionTimeout)
	if g.state == Stable {
		answer(g.synced(m))
		return
	}
	g.answerSync(m, SyncResult{ErrorCode: errcode.RebalanceInProgress}) // it gave up on that one
	m.sync = r.Ref
	if m.ID != g.leader {
		return
	}
	if r.MaxBytes > 0 && g.size(g.protocol, r.Assignments) > r.MaxBytes {
		g.answerSync(m, SyncResult{ErrorCode: errcode.MessageTooLarge})
		g.rebalance(now)
		return
	}
	for _, m := range g.members {
		m.Assignment = r.Assignments[m.ID]
	}
	g.enter(Stable, now)
	g.dirty = true
	for _, m := range g.members {
		if m.sync != 0 {
			m.deadline = now.Add(m.SessionTimeout)
			g.answerSync(m, g.synced(m))
		}
	}
}

func (g *Group) synced(m *Member) SyncResult {
	return SyncResult{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.Assignment}
}

// Heartbeat keeps a member's session alive and tells it of a rebalance.
func (g *Group) Heartbeat(now time.Time, memberID string, instanceID *string, generation int32) int16 {
	m, code := g.check(memberID, instanceID)
	switch {
	case code != errcode.None:
		return code
	case generation != g.generation:
		return errcode.IllegalGeneration
	case g.state == Empty || g.state == Dead:
		return errcode.UnknownMemberID
	}
	m.deadline = now.Add(m.SessionTimeout)
	if g.state == PreparingRebalance {
		return errcode.RebalanceInProgress
	}
	return errcode.None
}

// Leave takes one member out, named by its id or, for a static one, by its instance.
func (g *Group) Leave(now time.Time, memberID string, instanceID *string) int16 {
	if _, ok := g.pending[memberID]; ok && instanceID == nil {
		delete(g.pending, memberID)
		g.maybeCompleteJoin(now)
		return errcode.None
	}
	var m *Member
	if instanceID != nil && memberID == "" {
		// The admin's way to remove an instance, whoever plays it.
		if m = g.instance(*instanceID); m == nil {
			return errcode.UnknownMemberID
		}
	} else {
		var code int16
		if m, code = g.check(memberID, instanceID); code != errcode.None {
			return code
		}
	}
	g.remove(m, now)
	return errcode.None
}

// check finds the member that a request says it comes from. An instance that
// another member id plays now is fenced.
func (g *Group) check(memberID string, instanceID *string) (*Member, int16) {
	if instanceID != nil {
		m := g.instance(*instanceID)
		switch {
		case m == nil:
			return nil, errcode.UnknownMemberID
		case m.ID != memberID:
			return nil, errcode.FencedInstanceID
		}
		return m, errcode.None
	}
	m := g.member(memberID)
	if m == nil {
		return nil, errcode.UnknownMemberID
	}
	return m, errcode.None
}
