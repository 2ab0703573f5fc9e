package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// The files of a segment, named by its base offset as Kafka names them.
const (
	logSuffix       = ".log"
	indexSuffix     = ".index"
	timeIndexSuffix = ".timeindex"
	txnIndexSuffix  = ".txnindex"
	producersSuffix = ".producers"
)

func fileName(dir string, offset int64, suffix string) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", offset, suffix))
}

// parseFileName returns the offset in a name with the suffix.
func parseFileName(name, suffix string) (int64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// segment is a part of the log: a file of batches, and what is known about them.
// Its fields are guarded by the log's lock, but base, dir and file never change.
//
// Invariants: file holds whole batches in [0, size), contiguous in order of offset;
// bytes behind size are not part of the log. A segment is read only while a
// reference is held.
type segment struct {
	fs   fsys.FS
	dir  string
	base int64
	file fsys.File
	refs atomic.Int32 // one for being in the log, one for each reader

	size            int64
	synced          int64 // bytes that a sync has covered
	next            int64 // offset after the last batch
	offsets         index
	times           index
	sinceIndex      int64
	maxTimestamp    int64
	maxTimestampOff int64 // last offset of the batch that brought maxTimestamp
	firstTimestamp  int64 // of the first batch; -1 while empty
	txns            []AbortedTxn
	txnsFlushed     int
	sealed          bool      // no more appends, and all derived files are complete
	scrubbed        time.Time // when it was last known to be whole on the disk
}

func newSegment(fs fsys.FS, dir string, base int64) *segment {
	s := &segment{
		fs: fs, dir: dir, base: base, next: base,
		maxTimestamp: -1, maxTimestampOff: base, firstTimestamp: -1,
		offsets: index{fs: fs, name: fileName(dir, base, indexSuffix), width: offsetEntrySize},
		times:   index{fs: fs, name: fileName(dir, base, timeIndexSuffix), width: timeEntrySize},
	}
	s.refs.Store(1)
	return s
}

// createSegment makes the segment's file. Its name is not durable yet.
func createSegment(fs fsys.FS, dir string, base int64) (*segment, error) {
	s := newSegment(fs, dir, base)
	// What an earlier segment of this base may have left behind is not ours.
	for _, suffix := range []string{indexSuffix, timeIndexSuffix, txnIndexSuffix} {
		if err := fs.Remove(fileName(dir, base, suffix)); err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return nil, err
		}
	}
	var err error
	s.file, err = fs.Create(fileName(dir, base, logSuffix))
	return s, err
}

// acquire takes a reference, for a reader that holds the log's lock.
func (s *segment) acquire() { s.refs.Add(1) }

// release gives a reference back; the last one closes the file.
func (s *segment) release() {
	if s.refs.Add(-1) == 0 {
		_ = s.file.Close()
	}
}

// remove deletes the files of a segment that is no longer in the log, and gives the
// log's reference back. The names go at once, as a new segment may want them; readers
// keep what they have open. The log file goes last, so that a crash in between leaves
// a segment that can be opened or nothing.
func (s *segment) remove() {
	defer s.release()
	for _, suffix := range []string{txnIndexSuffix, timeIndexSuffix, indexSuffix, logSuffix} {
		_ = s.fs.Remove(fileName(s.dir, s.base, suffix))
	}
}

// note takes in a batch that now lies at s.size, as Kafka's LogSegment.append does.
func (s *segment) note(i *record.Info, interval int) {
	if s.firstTimestamp < 0 {
		s.firstTimestamp = i.MaxTimestamp
	}
	last := i.LastOffset()
	if i.MaxTimestamp > s.maxTimestamp {
		s.maxTimestamp, s.maxTimestampOff = i.MaxTimestamp, last
	}
	if s.sinceIndex > int64(interval) {
		s.offsets.append(offsetEntry(uint32(last-s.base), uint32(s.size)))
		s.noteTime()
		s.sinceIndex = 0
	}
	s.sinceIndex += int64(i.Size)
	s.size += int64(i.Size)
	s.next = last + 1
}

// noteTime adds the largest timestamp so far to the time index if it has grown.
func (s *segment) noteTime() {
	if s.maxTimestamp < 0 {
		return
	}
	if n := len(s.times.mem); n >= timeEntrySize {
		if ts, _ := parseTimeEntry(s.times.mem[n-timeEntrySize:]); ts >= s.maxTimestamp {
			return
		}
	}
	s.times.append(timeEntry(s.maxTimestamp, uint32(s.maxTimestampOff-s.base)))
}

// headerLen is how much of a batch says where it begins, ends and which offsets
// and times it has.
const headerLen = record.HeaderSize

// headerAt reads the header of the batch at pos of a segment that ends at size.
func headerAt(f fsys.File, pos, size int64, buf *[headerLen]byte) (record.Info, error) {
	if size-pos < headerLen {
		return record.Info{}, fmt.Errorf("%d bytes at position %d are no batch", size-pos, pos)
	}
	if _, err := f.ReadAt(buf[:], pos); err != nil && !errors.Is(err, io.EOF) {
		return record.Info{}, err
	}
	info, err := record.ParseHeader(buf[:])
	if err == nil && int64(info.Size) > size-pos {
		err = fmt.Errorf("batch at position %d claims %d bytes, %d are left", pos, info.Size, size-pos)
	}
	return info, err
}

// view is a segment as a reader sees it: fixed bounds, a reference held.
type view struct {
	seg     *segment
	size    int64
	next    int64
	offsets index
	times   index
	life    int64 // of the log's places when it was taken
	// segs are the log's segments then, for what is known of transactions.
	segs []*segment
}

// view returns a view of the segment; the log's lock is held.
func (s *segment) view() view {
	s.acquire()
	return view{seg: s, size: s.size, next: s.next, offsets: s.offsets, times: s.times}
}

func (v *view) release() { v.seg.release() }

// near returns a position at or before the batch that holds offset, and the last offset
// of the batch there, if the index has not been damaged; -1 at the beginning.
func (v *view) near(offset int64) (pos, last int64, err error) {
	if offset <= v.seg.base {
		return 0, -1, nil
	}
	rel := uint64(offset - v.seg.base)
	n, get, done, err := v.offsets.search(func(e []byte) bool { return uint64(binary.BigEndian.Uint32(e)) <= rel })
	if err != nil {
		return 0, -1, err
	}
	defer done()
	if n == 0 {
		return 0, -1, nil
	}
	e, err := get(n - 1)
	if err != nil {
		return 0, -1, err
	}
	relative, at := parseOffsetEntry(e)
	return int64(at), v.seg.base + int64(relative), nil
}

// indexed tells whether the batch at pos is the one that the index says is there.
func indexed(f fsys.File, pos, size, last int64) bool {
	var buf [headerLen]byte
	info, err := headerAt(f, pos, size, &buf)
	return err == nil && info.LastOffset() == last
}

// find returns the position and header of the first batch that ends at or above
// offset; ok is false when the segment has none.
func (v *view) find(offset int64) (pos int64, info record.Info, ok bool, err error) {
	pos, last, err := v.near(offset)
	if err != nil {
		return 0, info, false, err
	}
	var buf [headerLen]byte
	for pos < v.size {
		info, err = headerAt(v.seg.file, pos, v.size, &buf)
		if last >= 0 && (err != nil || info.LastOffset() != last) {
			pos, last = 0, -1 // the index is damaged, until the scrubber builds it again
			continue
		}
		last = -1
		if err != nil {
			return 0, info, false, fmt.Errorf("segment %s: %w", fileName(v.seg.dir, v.seg.base, logSuffix), err)
		}
		if info.LastOffset() >= offset {
			return pos, info, true, nil
		}
		pos += int64(info.Size)
	}
	return pos, info, false, nil
}
