package consume

import (
	"testing"

	"pgregory.net/rapid"
)

// The watermark moves over what is contiguous and done, and over nothing else.
func TestTrackerWatermark(t *testing.T) {
	var tr tracker
	tickets := map[int64]uint64{}
	for _, offset := range []int64{10, 11, 12, 13, 17, 18, 20} { // 14 to 16 and 19 do not exist
		tickets[offset] = tr.add(offset, 3, 0)
	}
	for _, step := range []struct {
		done int64
		want int64 // 0: no watermark yet
	}{
		{done: 11, want: 0},
		{done: 13, want: 0},
		{done: 10, want: 12},
		{done: 18, want: 12},
		{done: 12, want: 14},
		{done: 17, want: 19},
		{done: 20, want: 21},
	} {
		tr.done(tickets[step.done])
		next, epoch, ok := tr.watermark()
		if ok != (step.want > 0) || next != step.want || ok && epoch != 3 {
			t.Errorf("after %d: watermark %d (known: %v, epoch %d), want %d", step.done, next, ok, epoch, step.want)
		}
	}
	if tr.window() != 0 {
		t.Errorf("window is %d, want 0", tr.window())
	}
}

// Whatever the order, the watermark is one past the longest done prefix.
func TestTrackerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "records")
		var tr tracker
		offsets := make([]int64, n)
		at := int64(rapid.IntRange(0, 1000).Draw(t, "first"))
		for i := range offsets {
			at += int64(rapid.IntRange(1, 3).Draw(t, "gap"))
			offsets[i] = at
		}
		order := rapid.Permutation(offsets).Draw(t, "order")
		tickets, done := map[int64]uint64{}, map[int64]bool{}
		added := 0
		for _, o := range order {
			for ; added < n && offsets[added] <= o; added++ {
				tickets[offsets[added]] = tr.add(offsets[added], 0, offsets[added])
			}
			tr.done(tickets[o])
			done[o] = true
			want, known := int64(0), false
			first := -1
			for i, x := range offsets[:added] {
				if !done[x] {
					first = i
					break
				}
				want, known = x+1, true
			}
			got, _, ok := tr.watermark()
			if ok != known || got != want {
				t.Fatalf("watermark %d %v, want %d %v", got, ok, want, known)
			}
			oldest, waiting := tr.oldest()
			if waiting != (first >= 0) || waiting && oldest != offsets[first] {
				t.Fatalf("oldest %d %v, want index %d", oldest, waiting, first)
			}
		}
	})
}
