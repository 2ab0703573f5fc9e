package consumergroup

import "github.com/quokka-stream/quokka/broker/internal/errcode"

// CheckCommit says whether offsets may be committed. An epoch below 0 comes from
// one who assigns its partitions itself; that is fine while there are no members.
// version is that of OffsetCommit, -1 for an offset in a transaction.
func (g *Group) CheckCommit(memberID string, epoch int32, version int16) int16 {
	if epoch < 0 && len(g.members) == 0 {
		return errcode.None
	}
	m := g.members[memberID]
	switch {
	case m == nil:
		return errcode.UnknownMemberID
	case m.Classic == nil && version >= 0 && version < 9:
		return errcode.UnsupportedVersion // it has no place for an epoch
	}
	code := m.checkEpoch(epoch)
	if code == errcode.StaleMemberEpoch && version < 0 {
		return errcode.IllegalGeneration // transactions know no other
	}
	return code
}

// CheckFetch says whether offsets may be read by a member that says who it is; nil
// is anyone else.
func (g *Group) CheckFetch(memberID *string, epoch int32) int16 {
	if memberID == nil && epoch < 0 {
		return errcode.None
	}
	var m *Member
	if memberID != nil {
		m = g.members[*memberID]
	}
	if m == nil {
		return errcode.UnknownMemberID
	}
	return m.checkEpoch(epoch)
}

func (m *Member) checkEpoch(epoch int32) int16 {
	switch {
	case epoch == m.Epoch:
		return errcode.None
	case m.Classic != nil:
		return errcode.IllegalGeneration
	}
	return errcode.StaleMemberEpoch
}
