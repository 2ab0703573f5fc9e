package commitlog

import (
	"fmt"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// indexCheck compares a segment's index files with its batches as they are read. The zero
// value has nothing to compare.
type indexCheck struct {
	base          int64
	offsets       ahead // by position
	times         ahead // by relative offset
	maxTimestamp  int64
	file, problem string // that the files as such have
}

// ahead are the entries of an index whose batches have not been read yet. An index
// ascends as the batches of its segment do, so one pass over both holds them against
// each other.
type ahead struct {
	name    string
	width   int
	entries []byte
	misfits int // entries passed that no batch fitted
}

// take returns the entry with a key, nil when there is none; those below fit no batch.
func (a *ahead) take(key uint32, keyOf func(entry []byte) uint32) []byte {
	for len(a.entries) > 0 {
		e := a.entries[:a.width]
		found := keyOf(e)
		if found > key {
			return nil
		}
		a.entries = a.entries[a.width:]
		if found == key {
			return e
		}
		a.misfits++
	}
	return nil
}

func (a *ahead) problem() string {
	n := a.misfits
	if a.width > 0 {
		n += len(a.entries) / a.width
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of its entries do not fit the batches", n)
}

// newIndexCheck reads the index files: so many of their entries, -1 = all.
func newIndexCheck(fs fsys.FS, dir string, base int64, offsets, times int) *indexCheck {
	c := &indexCheck{base: base, maxTimestamp: -1}
	c.offsets = c.read(index{fs: fs, name: fileName(dir, base, indexSuffix), width: offsetEntrySize}, offsets)
	c.times = c.read(index{fs: fs, name: fileName(dir, base, timeIndexSuffix), width: timeEntrySize}, times)
	return c
}

// read returns the first n entries of an index file.
func (c *indexCheck) read(idx index, n int) ahead {
	err := idx.load()
	if err == nil && idx.count < n {
		err = fmt.Errorf("it has %d entries, the checkpoint counts %d", idx.count, n)
	}
	if err != nil {
		if c.problem == "" {
			c.file, c.problem = idx.name, err.Error()
		}
		return ahead{name: idx.name, width: idx.width}
	}
	if n < 0 {
		n = idx.count
	}
	return ahead{name: idx.name, width: idx.width, entries: idx.mem[:n*idx.width]}
}

// see takes in the next batch.
func (c *indexCheck) see(pos int64, info *record.Info) {
	c.maxTimestamp = max(c.maxTimestamp, info.MaxTimestamp)
	last := uint32(info.LastOffset() - c.base)
	if e := c.offsets.take(uint32(pos), func(e []byte) uint32 { _, pos := parseOffsetEntry(e); return pos }); e != nil {
		if rel, _ := parseOffsetEntry(e); rel != last {
			c.offsets.misfits++
		}
	}
	if e := c.times.take(last, func(e []byte) uint32 { _, rel := parseTimeEntry(e); return rel }); e != nil {
		if ts, _ := parseTimeEntry(e); ts != c.maxTimestamp {
			c.times.misfits++
		}
	}
}

// verdict is what is wrong with which file, empty when nothing is.
func (c *indexCheck) verdict() (file, problem string) {
	if c.problem != "" {
		return c.file, c.problem
	}
	for _, a := range []*ahead{&c.offsets, &c.times} {
		if p := a.problem(); p != "" {
			return a.name, p
		}
	}
	return "", ""
}
