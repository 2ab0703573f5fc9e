package commitlog

import (
	"fmt"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// indexCheck compares a segment's index files with its batches as they are read. The zero
// value has nothing to compare.
type indexCheck struct {
	base                   int64
	offsetsName, timesName string
	offsets                map[uint32]uint32 // position: relative last offset
	times                  map[uint32]int64  // relative offset: timestamp
	offsetsLeft, timesLeft int               // entries that no batch fitted
	maxTimestamp           int64
	file, problem          string // that the files as such have
}

// newIndexCheck reads the index files: so many of their entries, -1 = all.
func newIndexCheck(fs fsys.FS, dir string, base int64, offsets, times int) *indexCheck {
	c := &indexCheck{
		base: base, offsetsName: fileName(dir, base, indexSuffix), timesName: fileName(dir, base, timeIndexSuffix),
		offsets: map[uint32]uint32{}, times: map[uint32]int64{}, maxTimestamp: -1,
	}
	for e := range c.entries(index{fs: fs, name: c.offsetsName, width: offsetEntrySize}, offsets) {
		rel, pos := parseOffsetEntry(e)
		c.offsets[pos] = rel
		c.offsetsLeft++
	}
	for e := range c.entries(index{fs: fs, name: c.timesName, width: timeEntrySize}, times) {
		ts, rel := parseTimeEntry(e)
		c.times[rel] = ts
		c.timesLeft++
	}
	return c
}

// entries iterates over the first n entries of an index file.
func (c *indexCheck) entries(idx index, n int) func(func([]byte) bool) {
	err := idx.load()
	if err == nil && idx.count < n {
		err = fmt.Errorf("it has %d entries, the checkpoint counts %d", idx.count, n)
	}
	if err != nil {
		if c.problem == "" {
			c.file, c.problem = idx.name, err.Error()
		}
		return func(func([]byte) bool) {}
	}
	if n < 0 {
		n = idx.count
	}
	return slices.Chunk(idx.mem[:n*idx.width], idx.width)
}

// see takes in the next batch.
func (c *indexCheck) see(pos int64, info *record.Info) {
	c.maxTimestamp = max(c.maxTimestamp, info.MaxTimestamp)
	rel := uint32(info.LastOffset() - c.base)
	if want, ok := c.offsets[uint32(pos)]; ok && want == rel {
		c.offsetsLeft--
	}
	if ts, ok := c.times[rel]; ok && ts == c.maxTimestamp {
		c.timesLeft--
	}
}

// verdict is what is wrong with which file, empty when nothing is.
func (c *indexCheck) verdict() (file, problem string) {
	switch {
	case c.problem != "":
		return c.file, c.problem
	case c.offsetsLeft > 0:
		return c.offsetsName, fmt.Sprintf("%d of its entries do not fit the batches", c.offsetsLeft)
	case c.timesLeft > 0:
		return c.timesName, fmt.Sprintf("%d of its entries do not fit the batches", c.timesLeft)
	}
	return "", ""
}
