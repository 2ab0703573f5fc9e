package commitlog

import (
	"errors"
	"io"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Slice is a run of whole batches in a segment file, for readers that let the
// kernel copy it. It stays readable until Release, whatever happens to the log.
type Slice struct {
	File fsys.File
	Pos  int64
	Len  int64
	Next int64 // offset after the last batch
	view view
}

// Release gives the slice's segment back.
func (s *Slice) Release() {
	if s.view.seg != nil {
		s.view.release()
		s.view = view{}
	}
}

// ReadRequest asks for batches.
type ReadRequest struct {
	Offset   int64 // the first batch returned holds it, or is the next one above it
	Limit    int64 // only batches below it
	MaxBytes int
	MinOne   bool   // of Read: return a first batch that is larger than MaxBytes
	Buf      []byte // of Read
	Least    int64  // of Slice: less is not worth one
	// Aborted, if it is set, gets the aborted transactions with records in what is
	// returned, by first offset. Asked for later they might be gone with their segment.
	Aborted *[]AbortedTxn
}

// locate finds the segment to read from, and the position if it is known. ok is
// false when nothing lies at or above offset.
func (l *Log) locate(offset int64) (v view, pos int64, known, ok bool, err error) {
	l.Lock()
	defer l.Unlock()
	if l.stopped != nil {
		return v, 0, false, false, l.stopped
	}
	if offset < l.start || offset > l.end {
		return v, 0, false, false, record.Errorf(record.CodeOffsetOutOfRange, "offset %d lies outside the log, [%d, %d)", offset, l.start, l.end)
	}
	for i := l.segmentOf(offset); i < len(l.segs); i++ {
		s := l.segs[i]
		if offset >= s.next || s.size == 0 {
			continue // compacted away, or empty
		}
		pos, known = l.places.get(offset, s.base)
		if offset <= s.base {
			pos, known = 0, true
		}
		if known && pos >= s.size {
			continue // the rest of this segment was compacted away
		}
		v = s.view()
		v.life, v.segs = l.places.life, l.segs
		return v, pos, known, true, nil
	}
	return v, 0, false, false, nil
}

// remember notes where the batch after next lies, unless the log's bytes have changed
// since the view was taken.
func (l *Log) remember(v *view, next, pos int64) {
	l.Lock()
	defer l.Unlock()
	if v.life == l.places.life {
		l.places.put(next, v.seg.base, pos)
	}
}

// Read returns whole batches in req.Buf, or in a new slice if that is too small,
// and the offset after the last one. It takes the lock itself.
func (l *Log) Read(req ReadRequest) (b []byte, next int64, err error) {
	offset := req.Offset
	for offset < req.Limit {
		v, pos, known, ok, err := l.locate(offset)
		if err != nil || !ok {
			return nil, offset, err
		}
		if !known {
			var found bool
			pos, _, found, err = v.find(offset)
			if err == nil && !found {
				// The rest of this segment was compacted away.
				offset = v.next
				v.release()
				continue
			}
		}
		if err == nil {
			b, next, err = l.readAt(&v, pos, &req)
		}
		v.release()
		if err != nil {
			return nil, req.Offset, l.storageError("read", err)
		}
		if len(b) > 0 {
			l.tellAborted(&v, &req, next)
		}
		return b, next, nil
	}
	return nil, offset, nil
}

// tellAborted fills in the aborted transactions of what was read from a view.
func (l *Log) tellAborted(v *view, req *ReadRequest, next int64) {
	if req.Aborted == nil {
		return
	}
	l.Lock()
	defer l.Unlock()
	*req.Aborted = abortedIn(v.segs, req.Offset, next)
}

// readAt reads batches from pos on.
func (l *Log) readAt(v *view, pos int64, req *ReadRequest) ([]byte, int64, error) {
	want := min(int64(req.MaxBytes), v.size-pos)
	if req.MinOne || want < 0 {
		want = max(want, min(record.HeaderSize, v.size-pos))
	}
	buf, err := readInto(v.seg.file, req.Buf, pos, want)
	if err != nil {
		return nil, req.Offset, err
	}
	if size := int64(record.SizeOf(buf)); req.MinOne && size > want {
		if buf, err = readInto(v.seg.file, req.Buf, pos, min(size, v.size-pos)); err != nil {
			return nil, req.Offset, err
		}
	}
	next := req.Offset
	n := record.Each(buf, func(batch []byte) bool {
		info, perr := record.ParseHeader(batch)
		if perr != nil || info.BaseOffset >= req.Limit {
			err = perr
			return false
		}
		next = info.NextOffset()
		return true
	})
	if err != nil {
		return nil, req.Offset, err
	}
	if n > 0 {
		l.remember(v, next, pos+int64(n))
	}
	return buf[:n], next, nil
}

func readInto(f fsys.File, buf []byte, pos, n int64) ([]byte, error) {
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	got, err := f.ReadAt(buf, pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf[:got], nil
}

// Slice finds the run of batches that Read would return, without reading it. It is
// empty where there is less than Least, and needs no release then. It takes the lock
// itself.
func (l *Log) Slice(req ReadRequest) (Slice, error) {
	offset := req.Offset
	for offset < req.Limit {
		v, pos, known, ok, err := l.locate(offset)
		if err != nil || !ok {
			return Slice{}, err
		}
		found := true
		if !known {
			pos, _, found, err = v.find(offset)
		}
		if err == nil && !found {
			offset = v.next
			v.release()
			continue
		}
		end, next := pos, req.Offset
		if err == nil && v.size-pos >= req.Least {
			end, next, err = v.run(pos, &req)
		}
		if n := end - pos; err != nil || n == 0 || n < req.Least {
			v.release()
			if err != nil {
				return Slice{}, l.storageError("read", err)
			}
			return Slice{}, nil
		}
		l.remember(&v, next, end)
		l.tellAborted(&v, &req, next)
		return Slice{File: v.seg.file, Pos: pos, Len: end - pos, Next: next, view: v}, nil
	}
	return Slice{}, nil
}

// run returns where the last of the batches from pos on ends that keep to the request,
// and the offset after it. The index says where a batch near that place begins.
func (v *view) run(pos int64, req *ReadRequest) (end, next int64, err error) {
	bound := min(pos+int64(req.MaxBytes), v.size)
	n, get, done, err := v.offsets.search(func(e []byte) bool {
		rel, at := parseOffsetEntry(e)
		return int64(at) <= bound && v.seg.base+int64(rel) < req.Limit
	})
	if err != nil {
		return pos, req.Offset, err
	}
	defer done()
	end, next = pos, req.Offset
	if n > 0 {
		e, err := get(n - 1)
		if err != nil {
			return pos, req.Offset, err
		}
		if rel, at := parseOffsetEntry(e); int64(at) > pos && indexed(v.seg.file, int64(at), v.size, v.seg.base+int64(rel)) {
			end = int64(at)
		}
	}
	var buf [headerLen]byte
	for end < v.size {
		info, err := headerAt(v.seg.file, end, v.size, &buf)
		if err != nil {
			return pos, req.Offset, err
		}
		if end > pos {
			next = info.BaseOffset
		}
		if info.BaseOffset >= req.Limit || end+int64(info.Size) > bound {
			break
		}
		end += int64(info.Size)
		next = info.NextOffset()
	}
	return end, next, nil
}

// abortedIn returns the aborted transactions with records in [from, to), by first offset,
// of a log that had these segments. Its lock is held.
func abortedIn(segs []*segment, from, to int64) []AbortedTxn {
	var out []AbortedTxn
	for _, s := range segs[segmentOf(segs, from):] {
		for _, t := range s.txns {
			if t.Last >= from && t.First < to {
				out = append(out, t)
			}
		}
		// The marker of a transaction may lie in a later segment than its data; once
		// a marker was written with everything before to stable, none can follow.
		if n := len(s.txns); n > 0 && s.txns[n-1].LastStable >= to {
			break
		}
	}
	sortAborted(out)
	return out
}
