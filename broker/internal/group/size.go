package group

// What a member, and a protocol that it speaks, take beside their strings and bytes.
const (
	memberOverhead   = 40
	protocolOverhead = 48 // in memory
)

// size is about how large the group's record is, or would be, in bytes: it must fit
// a message of the offsets topic. Where protocol is empty, all that members speak
// counts: one of them is chosen later, and until then they are held in memory.
func (g *Group) size(protocol string, assignments map[string][]byte) int {
	n := 0
	for _, m := range g.members {
		n += m.size(protocol) + len(assignments[m.ID])
	}
	return n
}

func (m *Member) size(protocol string) int {
	n := memberOverhead + len(m.ID) + len(m.ClientID) + len(m.ClientHost)
	if m.InstanceID != nil {
		n += len(*m.InstanceID)
	}
	for _, p := range m.Protocols {
		if protocol == "" || p.Name == protocol {
			n += protocolOverhead + len(p.Name) + len(p.Metadata)
		}
	}
	return n
}

// tooLarge says whether the group would outgrow its record with what a join brings,
// in place of what its member, if it is one, has said before.
func (g *Group) tooLarge(r *JoinRequest) bool {
	if r.MaxBytes <= 0 {
		return false
	}
	joining := Member{ID: r.MemberID, InstanceID: r.InstanceID, ClientID: r.ClientID, ClientHost: r.ClientHost, Protocols: r.Protocols}
	n := g.size("", nil) + joining.size("")
	old := g.member(r.MemberID)
	if r.InstanceID != nil {
		old = g.instance(*r.InstanceID)
	}
	if old != nil {
		n -= old.size("")
	}
	return n > r.MaxBytes
}
