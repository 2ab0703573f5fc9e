package group

// memberOverhead is about what a member takes in the group's record beside its
// strings and bytes.
const memberOverhead = 40

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
			n += len(p.Name) + len(p.Metadata)
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
