package operate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestMerger: what leaves is sorted by time across partitions and by offset in
// each; nothing leaves while a partition that is not at its end has nothing waiting.
func TestMerger(t *testing.T) {
	a, b := partition{"t", 0}, partition{"t", 1}
	m := newMerger([]partition{a, b})
	offsets := map[partition]int64{}
	add := func(p partition, seconds ...int64) {
		for _, s := range seconds {
			m.add(&kgo.Record{Topic: p.topic, Partition: p.id, Offset: offsets[p], Timestamp: time.Unix(s, 0)})
			offsets[p]++
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
		done bool
	}{
		{"one partition has nothing yet", func() { add(a, 1, 5) }, "", false},
		{"both have something", func() { add(b, 2, 3) }, "0@0 1@0 1@1", false},
		{"more of the later one", func() { add(b, 9) }, "0@1", false},
		{"an older time behind a newer one keeps its place", func() { add(a, 8, 4, 10) }, "0@2 0@3 1@2", false},
		{"one has ended", func() { m.end(b) }, "0@4", false},
		{"the other goes on alone", func() { add(a, 11) }, "0@5", false},
		{"both have ended", func() { m.end(a) }, "", true},
	} {
		step.do()
		var got []string
		for r := m.next(); r != nil; r = m.next() {
			got = append(got, fmt.Sprintf("%d@%d", r.Partition, r.Offset))
		}
		if strings.Join(got, " ") != step.want || m.done() != step.done {
			t.Errorf("%s: %v, done %v; want %s, done %v", step.name, got, m.done(), step.want, step.done)
		}
	}
}
