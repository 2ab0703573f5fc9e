package commitlog

import (
	"slices"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestIndexCheck holds entries against four batches of ten offsets and 100 bytes, the
// largest timestamps 5, 9, 7 and 11.
func TestIndexCheck(t *testing.T) {
	for _, tt := range []struct {
		name    string
		offsets [][2]uint32 // relative last offset, position
		times   [][2]int64  // timestamp, relative last offset
		want    string      // file: problem
	}{
		{name: "sparse", offsets: [][2]uint32{{19, 100}, {39, 300}}, times: [][2]int64{{9, 19}, {11, 39}}},
		{name: "the second batch's timestamp is still the largest", times: [][2]int64{{9, 29}}},
		{name: "another offset", offsets: [][2]uint32{{19, 100}, {38, 300}}, want: "index: 1 of its entries do not fit the batches"},
		{name: "no batch begins there", offsets: [][2]uint32{{19, 150}, {39, 300}}, want: "index: 1 of its entries do not fit the batches"},
		{name: "behind the end", offsets: [][2]uint32{{19, 100}, {49, 400}}, want: "index: 1 of its entries do not fit the batches"},
		{name: "twice", offsets: [][2]uint32{{19, 100}, {19, 100}}, want: "index: 1 of its entries do not fit the batches"},
		{name: "falling", offsets: [][2]uint32{{39, 300}, {19, 100}}, want: "index: 1 of its entries do not fit the batches"},
		{name: "another timestamp", times: [][2]int64{{5, 9}, {7, 29}}, want: "timeindex: 1 of its entries do not fit the batches"},
		{name: "no batch ends there", times: [][2]int64{{9, 18}}, want: "timeindex: 1 of its entries do not fit the batches"},
	} {
		fs := fsys.NewMem()
		var offsets, times [][]byte
		for _, e := range tt.offsets {
			offsets = append(offsets, offsetEntry(e[0], e[1]))
		}
		for _, e := range tt.times {
			times = append(times, timeEntry(e[0], uint32(e[1])))
		}
		if err := fs.MkdirAll("/t"); err != nil {
			t.Fatal(err)
		}
		for suffix, entries := range map[string][][]byte{indexSuffix: offsets, timeIndexSuffix: times} {
			if err := flushIndex(fs, fileName("/t", 1000, suffix), slices.Concat(entries...), 0); err != nil {
				t.Fatal(err)
			}
		}
		c := newIndexCheck(fs, "/t", 1000, -1, -1)
		for i, ts := range []int64{5, 9, 7, 11} {
			c.see(int64(100*i), &record.Info{BaseOffset: 1000 + 10*int64(i), LastOffsetDelta: 9, MaxTimestamp: ts})
		}
		got, problem := c.verdict()
		if problem != "" {
			got = map[string]string{fileName("/t", 1000, indexSuffix): "index", fileName("/t", 1000, timeIndexSuffix): "timeindex"}[got] + ": " + problem
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
