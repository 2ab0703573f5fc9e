package operate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
)

// TestAssemble: a row for each partition that is read or committed and exists;
// lag counts from where the group would go on.
func TestAssemble(t *testing.T) {
	listed := func(offsets ...int64) map[int32]kadm.ListedOffset {
		out := map[int32]kadm.ListedOffset{}
		for i, o := range offsets {
			out[int32(i)] = kadm.ListedOffset{Topic: "t", Partition: int32(i), Offset: o}
		}
		return out
	}
	committed := kadm.OffsetResponses{}
	for topic, offsets := range map[string][]int64{"t": {7, 1, -1, 30}, "gone": {5}} {
		for i, at := range offsets {
			committed.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: topic, Partition: int32(i), At: at}})
		}
	}
	members := []Member{{ID: "m-1", ClientID: "one", Assigned: map[string][]int32{"t": {0, 1, 2}}}}
	got := assemble(members, committed, kadm.ListedOffsets{"t": listed(0, 4, 2, 0, 0)}, kadm.ListedOffsets{"t": listed(10, 10, 10, 20, 10)})
	row := GroupProgress{Topic: "t", MemberID: "m-1", ClientID: "one"}
	want := []GroupProgress{row, row, row, {Topic: "t"}}
	for i, r := range []struct{ committed, start, end, lag int64 }{
		{7, 0, 10, 3},
		{1, 4, 10, 6},  // what it had before it expired
		{-1, 2, 10, 8}, // nothing committed: from the start
		{30, 0, 20, 0}, // beyond the end, and nobody reads it
	} {
		want[i].Partition = int32(i)
		want[i].Committed, want[i].Start, want[i].End, want[i].Lag = r.committed, r.start, r.end, r.lag
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
