package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// An index is sparse and flat. While its segment is active it is in memory and the
// file lags behind; once the segment is sealed the file is complete and is searched
// in place, so that sealed segments cost no memory.
//
// Both are Kafka's: .index entries are (last offset of a batch relative to the
// segment's base, the batch's position), .timeindex entries (largest timestamp so
// far, relative last offset of the batch that brought it). They are derived files:
// an index that does not fit its segment is built again.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12
)

// index is one index file's entries, of a fixed size each.
type index struct {
	fs      fsys.FS
	name    string
	width   int
	mem     []byte // all entries, while in memory; only ever appended to or replaced
	flushed int    // bytes of mem that the file has
	count   int
	inFile  bool // entries are only in the file
}

func (x *index) append(entry []byte) {
	x.mem = append(x.mem, entry...)
	x.count++
}

// search returns the number of entries for which before is true; it must be true
// for a prefix of them. get returns entry i.
func (x *index) search(before func(entry []byte) bool) (n int, get func(i int) ([]byte, error), done func(), err error) {
	if !x.inFile {
		mem, w := x.mem, x.width
		get = func(i int) ([]byte, error) { return mem[i*w : i*w+w], nil }
		return sort.Search(len(mem)/w, func(i int) bool { return !before(mem[i*w : i*w+w]) }), get, func() {}, nil
	}
	if x.count == 0 {
		return 0, nil, func() {}, nil
	}
	f, err := x.fs.Open(x.name)
	if err != nil {
		return 0, nil, nil, err
	}
	var buf [timeEntrySize]byte
	get = func(i int) ([]byte, error) {
		_, err := f.ReadAt(buf[:x.width], int64(i*x.width))
		return buf[:x.width], err
	}
	n = sort.Search(x.count, func(i int) bool {
		e, gerr := get(i)
		if gerr != nil {
			err = gerr
			return true
		}
		return !before(e)
	})
	if err != nil {
		_ = f.Close()
		return 0, nil, nil, fmt.Errorf("index %s: %w", x.name, err)
	}
	return n, get, func() { _ = f.Close() }, nil
}

// flush brings the file from flushed bytes to all of mem, and syncs it.
func flushIndex(fs fsys.FS, name string, mem []byte, flushed int) error {
	f, err := fs.Open(name)
	if err != nil {
		if f, err = fs.Create(name); err != nil {
			return err
		}
		flushed = 0
	}
	defer f.Close()
	if err := f.Truncate(int64(flushed)); err != nil {
		return err
	}
	if len(mem) > flushed {
		if _, err := f.WriteAt(mem[flushed:], int64(flushed)); err != nil {
			return err
		}
	}
	return f.SyncData()
}

// load reads the file into memory; damaged sizes are an error.
func (x *index) load() error {
	f, err := x.fs.Open(x.name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size%int64(x.width) != 0 || size > math.MaxInt32 {
		return fmt.Errorf("index %s has %d bytes", x.name, size)
	}
	x.mem = make([]byte, size)
	if _, err := f.ReadAt(x.mem, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	x.flushed, x.count, x.inFile = len(x.mem), len(x.mem)/x.width, false
	return nil
}

// cut drops entries from the n-th on. Slices taken before stay as they were.
func (x *index) cut(n int) {
	x.mem = append([]byte(nil), x.mem[:n*x.width]...)
	x.count = n
	x.flushed = min(x.flushed, len(x.mem))
}

func offsetEntry(rel, pos uint32) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, offsetEntrySize), rel)
	return binary.BigEndian.AppendUint32(b, pos)
}

func parseOffsetEntry(e []byte) (rel, pos uint32) {
	return binary.BigEndian.Uint32(e), binary.BigEndian.Uint32(e[4:])
}

func timeEntry(ts int64, rel uint32) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, timeEntrySize), uint64(ts))
	return binary.BigEndian.AppendUint32(b, rel)
}

func parseTimeEntry(e []byte) (ts int64, rel uint32) {
	return int64(binary.BigEndian.Uint64(e)), binary.BigEndian.Uint32(e[8:])
}
