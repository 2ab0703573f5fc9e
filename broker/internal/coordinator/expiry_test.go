package coordinator

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/group"
)

// TestOffsetsOutliveTheLastMember: a group's offsets are kept while it has a member,
// however old they are, and for the retention time after the last one left; what is
// removed stays removed over a restart.
func TestOffsetsOutliveTheLastMember(t *testing.T) {
	defer goleak.VerifyNone(t)
	fs := fsys.NewMem()
	n := openNode(t, fs)
	defer func() { n.close() }()
	const old = 10 * time.Hour // the retention time is one hour
	expire := func(after time.Duration) {
		t.Helper()
		s, code := n.groups.shard(t.Context(), "g")
		if code != 0 {
			t.Fatal(code)
		}
		if code := s.do(t.Context(), func(now time.Time) { s.expire(now.Add(after)) }); code != 0 {
			t.Fatal(code)
		}
	}
	want := func(when string, offset int64) {
		t.Helper()
		if o, code := n.offset("g"); o != offset || code != 0 {
			t.Errorf("%s: the offset is %d, code %d, want %d", when, o, code, offset)
		}
	}
	join := func(member string) group.JoinResult {
		return n.groups.Join(t.Context(), "g", group.JoinRequest{
			Version: 5, MemberID: member, ClientID: "c", ProtocolType: "connect", Protocols: []group.Protocol{{Name: "p"}},
			SessionTimeout: time.Hour, RebalanceTimeout: time.Hour,
		})
	}
	joined := join(join("").MemberID)
	if joined.ErrorCode != 0 {
		t.Fatalf("join: %+v", joined)
	}
	if r := n.groups.Sync(t.Context(), "g", group.SyncRequest{MemberID: joined.MemberID, Generation: joined.Generation}); r.ErrorCode != 0 {
		t.Fatalf("sync: %+v", r)
	}
	by := Committer{MemberID: joined.MemberID, Generation: joined.Generation}
	if code := n.groups.CommitOffsets(t.Context(), "g", by, []Commit{{TopicPartition: TopicPartition{"t", 0}, Offset: 7}})[0]; code != 0 {
		t.Fatalf("commit: %d", code)
	}
	expire(old)
	want("while there is a member", 7)
	if code, each := n.groups.Leave(t.Context(), "g", []LeaveMember{{MemberID: joined.MemberID}}); code != 0 || each[0] != 0 {
		t.Fatalf("leave: %d %v", code, each)
	}
	expire(59 * time.Minute)
	want("within the retention time", 7)
	expire(61 * time.Minute)
	want("after it", -1)
	if list, _ := n.groups.List(t.Context()); len(list) != 0 {
		t.Errorf("groups without anything: %+v", list)
	}
	n.close()
	n = openNode(t, fs)
	want("after a restart", -1)
}
