package consumergroup

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
)

// protocolType is the only type of classic members that can be in such a group.
const protocolType = "consumer"

// Classic is what a member that speaks the classic protocol has beside the others.
type Classic struct {
	SessionTimeout time.Duration
	Protocols      []group.Protocol
}

func (c *Classic) same(o *Classic) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.SessionTimeout == o.SessionTimeout && slices.EqualFunc(c.Protocols, o.Protocols, func(a, b group.Protocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

func (m *Member) sessionTimeout(w World) time.Duration {
	if m.Classic != nil {
		return m.Classic.SessionTimeout
	}
	return w.SessionTimeout
}

// subscription reads a consumer's metadata: what it subscribes to and owns.
func subscription(protocols []group.Protocol) (kmsg.ConsumerMemberMetadata, bool) {
	var meta kmsg.ConsumerMemberMetadata
	if len(protocols) == 0 || meta.ReadFrom(protocols[0].Metadata) != nil {
		return meta, false
	}
	return meta, true
}

// metadataVersion is the version of a consumer's metadata, in which it wants its
// assignment too.
func metadataVersion(c *Classic) int16 {
	if meta, ok := subscription(c.Protocols); ok {
		return min(meta.Version, 3)
	}
	return 0
}

// Join lets a classic member join, or join again to move on towards its target. It
// is answered at once: there is nobody to wait for.
func (g *Group) Join(w World, r group.JoinRequest) group.JoinResult {
	fail := func(code int16) group.JoinResult {
		return group.JoinResult{ErrorCode: code, Generation: -1, MemberID: r.MemberID}
	}
	if r.SessionTimeout < g.cfg.MinSessionTimeout || r.SessionTimeout > g.cfg.MaxSessionTimeout {
		return fail(errcode.InvalidSessionTimeout)
	}
	meta, ok := subscription(r.Protocols)
	if !ok || r.ProtocolType != protocolType || !g.speaks(r.Protocols) {
		return fail(errcode.InconsistentGroupProtocol)
	}
	unknown := r.MemberID == ""
	if unknown {
		r.MemberID = g.cfg.NewID()
		if r.InstanceID == nil && r.Version >= 4 {
			return fail(errcode.MemberIDRequired)
		}
	}
	m := g.members[r.MemberID]
	if r.InstanceID != nil {
		switch static := g.instance(*r.InstanceID); {
		case static == nil && !unknown:
			return fail(errcode.UnknownMemberID)
		case static != nil && static.ID != r.MemberID && !unknown:
			return fail(errcode.FencedInstanceID)
		case static != nil && static.ID != r.MemberID:
			m = g.replace(static, r.MemberID)
		case static != nil:
			m = static
		}
	}
	if m == nil {
		if len(g.members) >= g.cfg.MaxSize {
			return fail(errcode.GroupMaxSizeReached)
		}
		m = g.add(r.MemberID)
	}
	bump := g.update(m, func(m *Member) {
		m.ClientID, m.ClientHost = r.ClientID, r.ClientHost
		m.InstanceID, m.RackID = or(r.InstanceID, m.InstanceID), or(meta.Rack, m.RackID)
		m.RebalanceTimeout, m.Topics, m.Regex = r.RebalanceTimeout, sorted(meta.Topics), ""
		m.Classic = &Classic{SessionTimeout: r.SessionTimeout, Protocols: r.Protocols}
	})
	owned := Partitions{}
	for _, t := range meta.OwnedPartitions {
		if topic, ok := w.Topics.ByName(t.Topic); ok {
			for _, p := range t.Partitions {
				owned[Partition{topic.ID, p}] = struct{}{}
			}
		}
	}
	g.advance(w, m, bump, owned, nil)
	m.rebalance, m.join = time.Time{}, time.Time{} // a classic member has its join and sync times
	m.session, m.sync = w.Now.Add(r.SessionTimeout), w.Now.Add(r.RebalanceTimeout)
	return group.JoinResult{
		Generation: m.Epoch, ProtocolType: protocolType, Protocol: m.Classic.Protocols[0].Name, MemberID: m.ID,
	}
}

// speaks says whether one of the protocols is spoken by every classic member.
func (g *Group) speaks(protocols []group.Protocol) bool {
	return slices.ContainsFunc(protocols, func(p group.Protocol) bool {
		for _, m := range g.members {
			if m.Classic != nil && !slices.ContainsFunc(m.Classic.Protocols, func(q group.Protocol) bool { return q.Name == p.Name }) {
				return false
			}
		}
		return true
	})
}

// classic finds the classic member that a request comes from.
func (g *Group) classic(memberID string, instanceID *string) (*Member, int16) {
	m := g.members[memberID]
	if instanceID != nil {
		if m = g.instance(*instanceID); m != nil && m.ID != memberID {
			return nil, errcode.FencedInstanceID
		}
	}
	if m == nil || m.Classic == nil {
		return nil, errcode.UnknownMemberID
	}
	return m, errcode.None
}

// Sync tells a classic member what it is assigned.
func (g *Group) Sync(w World, r group.SyncRequest) group.SyncResult {
	m, code := g.classic(r.MemberID, r.InstanceID)
	switch {
	case code != errcode.None:
	case r.Generation != m.Epoch:
		code = errcode.IllegalGeneration
	case r.ProtocolType != nil && *r.ProtocolType != protocolType,
		r.Protocol != nil && *r.Protocol != m.Classic.Protocols[0].Name:
		code = errcode.InconsistentGroupProtocol
	case g.epoch > m.Epoch && m.State != UnrevokedPartitions:
		g.mustJoin(w, m)
		code = errcode.RebalanceInProgress
	}
	if code != errcode.None {
		return group.SyncResult{ErrorCode: code}
	}
	m.session, m.sync = w.Now.Add(m.Classic.SessionTimeout), time.Time{}
	return group.SyncResult{
		ProtocolType: protocolType, Protocol: m.Classic.Protocols[0].Name,
		Assignment: encodeAssignment(w, m.Assigned, metadataVersion(m.Classic)),
	}
}

// ClassicHeartbeat keeps a classic member alive, and tells it when joining again
// brings it on.
func (g *Group) ClassicHeartbeat(w World, memberID string, instanceID *string, generation int32) int16 {
	m, code := g.classic(memberID, instanceID)
	switch {
	case code != errcode.None:
		return code
	case generation != m.Epoch:
		return errcode.IllegalGeneration
	}
	m.session = w.Now.Add(m.Classic.SessionTimeout)
	if g.refresh(w, false, nil) {
		g.bump() // in a group of classic members alone nobody else would notice
	}
	if m.Epoch < g.epoch || m.State == UnrevokedPartitions || (m.State == UnreleasedPartitions && !g.waits(m)) {
		g.mustJoin(w, m)
		return errcode.RebalanceInProgress
	}
	return errcode.None
}

// mustJoin gives a classic member its rebalance timeout to join again.
func (g *Group) mustJoin(w World, m *Member) {
	if m.join.IsZero() {
		m.join = w.Now.Add(m.RebalanceTimeout)
	}
}

// waits says whether somebody else still holds a partition that a member is to get.
// It joins again once, when all are free.
func (g *Group) waits(m *Member) bool {
	for p := range m.Target {
		if _, held := g.owners[p]; held && !m.Assigned.Has(p) {
			return true
		}
	}
	return false
}

// Leave takes a classic member out, named by its id or, for a static one, by its
// instance alone.
func (g *Group) Leave(w World, memberID string, instanceID *string) int16 {
	if instanceID != nil && memberID == "" {
		m := g.instance(*instanceID)
		if m == nil {
			return errcode.UnknownMemberID
		}
		memberID = m.ID
	}
	m, code := g.classic(memberID, instanceID)
	if code == errcode.None {
		g.remove(w, m)
	}
	return code
}

// encodeAssignment writes partitions as the classic consumer protocol does.
func encodeAssignment(w World, partitions Partitions, version int16) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	a.Version = version
	for _, tp := range partitions.ByTopic() {
		if t, ok := w.Topics.ByID(tp.Topic); ok {
			at := kmsg.NewConsumerMemberAssignmentTopic()
			at.Topic, at.Partitions = t.Name, tp.Partitions
			a.Topics = append(a.Topics, at)
		}
	}
	return a.AppendTo(nil)
}
