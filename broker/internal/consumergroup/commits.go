package consumergroup

import "github.com/quokka-stream/quokka/broker/internal/errcode"

// CheckCommit says whether offsets may be committed. An epoch below 0 comes from
// one who assigns its partitions itself; that is fine while there are no members.
// version is that of OffsetCommit, -1 for an offset in a transaction.
//
// A member may not have heard of its newest epoch yet as it commits. Where each is
// not nil it decides by partition (KIP-1251): what a member holds since the epoch
// that it names, or longer, is still its own.
func (g *Group) CheckCommit(memberID string, epoch int32, version int16) (code int16, each func(Partition) int16) {
	if epoch < 0 && len(g.members) == 0 {
		return errcode.None, nil
	}
	m := g.members[memberID]
	switch {
	case m == nil:
		return errcode.UnknownMemberID, nil
	case m.Classic == nil && version >= 0 && version < 9:
		return errcode.UnsupportedVersion, nil // it has no place for an epoch
	}
	stale := m.checkEpoch(epoch)
	if stale == errcode.StaleMemberEpoch && version < 0 {
		stale = errcode.IllegalGeneration // transactions know no other
	}
	if stale == errcode.None || m.Classic != nil || epoch < 0 || epoch > m.Epoch {
		return stale, nil
	}
	return errcode.None, func(p Partition) int16 {
		if since, held := m.Since[p]; held && since <= epoch {
			return errcode.None
		}
		return stale
	}
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
