package consumergroup

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/group"
)

// FromClassic returns the group that a classic group with members becomes, so that
// a member of the consumer protocol can join it: everyone is stable at the classic
// generation, with what the leader had assigned. It is false when the classic
// group cannot become one. The classic group is left as it is.
func FromClassic(w World, c *group.Group, cfg *Config) (*Group, bool) {
	if !cfg.Upgrade || c.ProtocolType() != protocolType || len(c.Members()) > cfg.MaxSize {
		return nil, false
	}
	g := New(c.ID, cfg)
	g.epoch, g.assignmentEpoch = c.Generation(), c.Generation()
	for _, cm := range c.Members() {
		meta, ok := subscription(cm.Protocols)
		if !ok {
			return nil, false
		}
		m := &Member{
			ID: cm.ID, InstanceID: cm.InstanceID, RackID: meta.Rack, ClientID: cm.ClientID, ClientHost: cm.ClientHost,
			RebalanceTimeout: cm.RebalanceTimeout, Topics: sorted(meta.Topics),
			Classic: &Classic{SessionTimeout: cm.SessionTimeout, Protocols: cm.Protocols},
			Epoch:   g.epoch, PreviousEpoch: g.epoch, State: MemberStable, Assigned: Partitions{}, Since: map[Partition]int32{},
			session: w.Now.Add(cm.SessionTimeout),
		}
		for p := range decodeAssignment(w, cm.Assignment) {
			if _, held := g.owners[p]; !held { // a leader may have given one to two
				m.Assigned[p], m.Since[p] = struct{}{}, g.epoch
			}
		}
		m.Target = m.Assigned
		g.members[m.ID] = m
		g.hold(m)
		g.changed(MemberMetadata, m.ID)
		g.changed(TargetAssignment, m.ID)
		g.changed(CurrentAssignment, m.ID)
	}
	g.changed(GroupEpoch, "")
	g.changed(TargetEpoch, "")
	return g, true
}

func decodeAssignment(w World, b []byte) Partitions {
	out := Partitions{}
	var a kmsg.ConsumerMemberAssignment
	if len(b) == 0 || a.ReadFrom(b) != nil {
		return out
	}
	for _, at := range a.Topics {
		if t, ok := w.Topics.ByName(at.Topic); ok {
			for _, p := range at.Partitions {
				out[Partition{t.ID, p}] = struct{}{}
			}
		}
	}
	return out
}

// Downgrades says whether the group has become one of classic members only, which
// a classic group serves as well.
func (g *Group) Downgrades() bool {
	if !g.cfg.Downgrade || len(g.members) == 0 || len(g.members) > g.cfg.ClassicMaxSize {
		return false
	}
	for _, m := range g.members {
		if m.Classic == nil {
			return false
		}
	}
	return true
}

// ToClassic returns the members for the classic group that this one becomes, each
// assigned its target.
func (g *Group) ToClassic(w World) []group.Member {
	var out []group.Member
	for _, m := range g.Members() {
		out = append(out, group.Member{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			RebalanceTimeout: m.RebalanceTimeout, SessionTimeout: m.Classic.SessionTimeout, Protocols: m.Classic.Protocols,
			Assignment: encodeAssignment(w, m.Target, metadataVersion(m.Classic)),
		})
	}
	return out
}
