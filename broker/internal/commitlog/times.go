package commitlog

import (
	"fmt"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

func sortAborted(t []AbortedTxn) {
	slices.SortFunc(t, func(a, b AbortedTxn) int {
		switch {
		case a.First < b.First:
			return -1
		case a.First > b.First:
			return 1
		}
		return 0
	})
}

// Found is a record found by time.
type Found struct {
	Offset, Timestamp int64
	Epoch             int32
}

// OffsetForTime returns the first record in [start, limit) whose timestamp is at
// least ts; ok is false when there is none. It takes the lock itself.
func (l *Log) OffsetForTime(ts, limit int64) (f Found, ok bool, err error) {
	views, start, err := l.views(func(s *segment) bool { return s.maxTimestamp >= ts })
	defer releaseAll(views)
	if err != nil {
		return f, false, err
	}
	for i := range views {
		v := &views[i]
		from, err := v.beforeTime(ts)
		if err != nil {
			return f, false, l.storageError("read", err)
		}
		f, ok, err = v.firstAt(ts, max(from, start), limit)
		if ok || err != nil {
			return f, ok, err
		}
	}
	return f, false, nil
}

// MaxTimestamp returns the first of the records in [start, limit) with the largest
// timestamp. It takes the lock itself.
func (l *Log) MaxTimestamp(limit int64) (f Found, ok bool, err error) {
	views, start, err := l.views(func(*segment) bool { return true })
	defer releaseAll(views)
	if err != nil {
		return f, false, err
	}
	best := int64(-1)
	var in *view
	var from int64
	for i := range views {
		v := &views[i]
		ts, at, err := v.maxBelow(start, limit)
		if err != nil {
			return f, false, l.storageError("read", err)
		}
		if ts > best {
			best, in, from = ts, v, at
		}
	}
	if in == nil {
		return f, false, nil
	}
	f, ok, err = in.firstAt(best, max(start, from), limit)
	return f, ok, err
}

// views returns views of the segments that pass, oldest first.
func (l *Log) views(pass func(*segment) bool) (views []view, start int64, err error) {
	l.Lock()
	defer l.Unlock()
	if l.stopped != nil {
		return nil, 0, l.stopped
	}
	for _, s := range l.segs {
		if s.size > 0 && s.next > l.start && pass(s) {
			views = append(views, s.view())
		}
	}
	return views, l.start, nil
}

func releaseAll(views []view) {
	for i := range views {
		views[i].release()
	}
}

// beforeTime returns an offset at or before the first record with a timestamp of at
// least ts.
func (v *view) beforeTime(ts int64) (int64, error) {
	n, get, done, err := v.times.search(func(e []byte) bool { t, _ := parseTimeEntry(e); return t < ts })
	if err != nil {
		return 0, err
	}
	defer done()
	if n == 0 {
		return v.seg.base, nil
	}
	e, err := get(n - 1)
	if err != nil {
		return 0, err
	}
	_, rel := parseTimeEntry(e)
	return v.seg.base + int64(rel), nil
}

// firstAt returns the first record in [from, limit) with a timestamp of at least ts.
func (v *view) firstAt(ts, from, limit int64) (f Found, ok bool, err error) {
	pos, info, ok, err := v.find(from)
	var buf [headerLen]byte
	for ok && err == nil && info.BaseOffset < limit {
		if info.MaxTimestamp >= ts {
			f, ok, err = v.recordAt(pos, &info, ts, from)
			if ok || err != nil {
				return f, ok, err
			}
		}
		pos += int64(info.Size)
		if ok = pos < v.size; ok {
			info, err = headerAt(v.seg.file, pos, v.size, &buf)
		}
	}
	return f, false, err
}

// recordAt looks for the record inside a batch.
func (v *view) recordAt(pos int64, info *record.Info, ts, from int64) (f Found, ok bool, err error) {
	b, err := readInto(v.seg.file, nil, pos, int64(info.Size))
	if err != nil {
		return f, false, err
	}
	offset, timestamp, ok, err := record.FirstSince(b, ts, from)
	if err != nil {
		return f, false, fmt.Errorf("segment %s, position %d: %w", fileName(v.seg.dir, v.seg.base, logSuffix), pos, err)
	}
	if !ok {
		return f, false, nil
	}
	return Found{Offset: offset, Timestamp: timestamp, Epoch: info.LeaderEpoch}, true, nil
}

// maxBelow returns the largest timestamp of batches in [start, limit), and an offset
// at or before the batch that has it.
func (v *view) maxBelow(start, limit int64) (ts, at int64, err error) {
	// Entries rise in time and offset: the last one below the limit says it for what
	// lies before it.
	ts, at = -1, v.seg.base
	n, get, done, err := v.times.search(func(e []byte) bool { _, rel := parseTimeEntry(e); return v.seg.base+int64(rel) < limit })
	if err != nil {
		return ts, at, err
	}
	from := max(v.seg.base, start)
	if n > 0 {
		e, err := get(n - 1)
		if err != nil {
			done()
			return ts, at, err
		}
		t, rel := parseTimeEntry(e)
		if off := v.seg.base + int64(rel); off >= start {
			ts, at, from = t, off, off
		}
	}
	done()
	pos, info, ok, err := v.find(from)
	var buf [headerLen]byte
	for ok && err == nil && info.BaseOffset < limit {
		if info.MaxTimestamp > ts {
			ts, at = info.MaxTimestamp, info.BaseOffset
		}
		pos += int64(info.Size)
		if ok = pos < v.size; ok {
			info, err = headerAt(v.seg.file, pos, v.size, &buf)
		}
	}
	return ts, at, err
}
