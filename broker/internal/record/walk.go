package record

import (
	"fmt"
	"math"
)

// maxNamedRecords bounds how many records one refusal names.
const maxNamedRecords = 100

// walk checks the records of one batch, without building them.
type walk struct {
	rules    *Rules
	info     *Info
	min, max int64 // allowed timestamps
	maxSeen  int64
	bad      Error
}

// bounds derives the window of allowed timestamps.
func (w *walk) bounds() {
	w.min, w.max = math.MinInt64, math.MaxInt64
	now := w.rules.Now.UnixMilli()
	if w.rules.Before > 0 {
		w.min = now - w.rules.Before.Milliseconds()
	}
	if w.rules.After > 0 {
		w.max = now + w.rules.After.Milliseconds()
	}
}

// perRecord tells whether a rule looks at single records. The upper timestamp
// bound does so only when the header already exceeds it: clients set the header's
// maximum, and one that is too small there only hides its own records from
// lookups by time.
func (w *walk) perRecord() bool {
	return w.rules.RequireKeys || w.min != math.MinInt64 || w.info.MaxTimestamp > w.max
}

func (w *walk) run(b []byte) error {
	if w.info.Codec() == None && w.plain(b) {
		return nil
	}
	return w.scan(b)
}

// scan checks the records one field after the other, through a window where they have
// to be decompressed, and says what is wrong.
func (w *walk) scan(b []byte) error {
	var s scanner
	if err := s.open(b, w.info, w.rules.MaxDecompressed); err != nil {
		return err
	}
	defer s.close()
	w.maxSeen = -1
	for i := range w.info.Count {
		if err := w.record(&s, i); err != nil {
			return err
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	if w.bad.Code != 0 {
		bad := w.bad // a copy, so that the walk itself stays on the stack
		return &bad
	}
	return nil
}

// plain checks uncompressed records in place. It returns false for everything that is
// not as it nearly always is; what is wrong with it, if anything, scan finds out.
func (w *walk) plain(b []byte) bool {
	w.maxSeen = -1
	p := HeaderSize
	for i := int32(0); ; i++ {
		if p, i = w.usual(b, p, i); i >= w.info.Count {
			break
		}
		length, at := varint(b, p)
		end := at + int(length)
		if at < 0 || length < 1 || length > int64(len(b)-at) {
			return false
		}
		rec := b[:end]
		ts, at := varint(rec, at+1) // behind the attributes
		delta, at := varint(rec, at)
		key, at := varint(rec, at)
		if at < 0 || key > int64(end-at) || key < 0 && (key != -1 || w.rules.RequireKeys) {
			return false
		}
		value, at := varint(rec, at+max(0, int(key)))
		if at < 0 || value > int64(end-at) || value < -1 {
			return false
		}
		headers, at := varint(rec, at+max(0, int(value)))
		if at < 0 || headers < 0 || headers > length {
			return false
		}
		for range headers {
			var n int64
			if n, at = varint(rec, at); at < 0 || n < 0 || n > int64(end-at) {
				return false
			}
			if n, at = varint(rec, at+int(n)); at < 0 || n < -1 || n > int64(end-at) {
				return false
			}
			at += max(0, int(n))
		}
		ts += w.info.BaseTimestamp
		if at != end || ts < w.min || ts > w.max || delta < 0 || delta > int64(w.info.LastOffsetDelta) || w.rules.Client && delta != int64(i) {
			return false
		}
		w.maxSeen = max(w.maxSeen, ts)
		p = end
	}
	return p == len(b)
}

// usual passes over records from the one at b[p:], number i, on, that are as nearly all
// are: key and value have less than 8 KiB each, all else two bytes at most, and there are no
// headers. It stops at the first that is not, good or bad, or that a rule refuses.
func (w *walk) usual(b []byte, p int, i int32) (int, int32) {
	const head = 2 + 1 + 2 + 2 + 2 // all up to the key's length
	n := min(w.info.Count, w.info.LastOffsetDelta+1)
	base, lowest, highest, seen := w.info.BaseTimestamp, w.min, w.max, w.maxSeen
	keys := w.rules.RequireKeys
	for ; i < n && p <= len(b)-head; i++ {
		length, at := short(b, p)
		end := at + int(length>>1)
		time, at := short(b, at+1) // behind the attributes
		delta, at := short(b, at)
		key, at := short(b, at)
		at += int(key >> 1)
		if at > len(b)-2 {
			break
		}
		value, at := short(b, at)
		at += int(value >> 1)
		if at+1 != end || end > len(b) || b[at] != 0 || delta != uint64(i)<<1 || (length|time|delta|key|value) >= 1<<14 {
			break
		}
		// A length that is odd is negative, and 1 is -1: null.
		if length&1 != 0 || key&1 != 0 && (key != 1 || keys) || value&1 != 0 && value != 1 {
			break
		}
		ts := base + (int64(time>>1) ^ -int64(time&1))
		if ts < lowest || ts > highest {
			break
		}
		seen = max(seen, ts)
		p = end
	}
	w.maxSeen = seen
	return p, i
}

// short reads an unsigned varint of one byte or two at b[p:], and returns what follows
// it. Of a longer one it makes 1<<14 or more.
func short(b []byte, p int) (u uint64, next int) {
	u = uint64(b[p])
	if p++; u >= 0x80 {
		u += uint64(b[p])<<7 - 0x80
		p++
	}
	return u, p
}

// varint reads a zigzag varint of up to ten bytes at b[p:] and returns what follows
// it; -1 when there is none, or p is -1.
func varint(b []byte, p int) (int64, int) {
	if uint(p) >= uint(len(b)) {
		return 0, -1
	}
	if c := b[p]; c < 0x80 {
		return int64(c>>1) ^ -int64(c&1), p + 1
	}
	u := uint64(b[p] & 0x7f)
	for shift := uint(7); shift < 70; shift += 7 {
		if p++; p >= len(b) {
			return 0, -1
		}
		c := b[p]
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), p + 1
		}
	}
	return 0, -1
}

// record checks one record.
func (w *walk) record(s *scanner, i int32) error {
	length, ts, delta, err := s.recordHead(i)
	if err != nil {
		return err
	}
	key, ok := s.varint()
	if !ok || key < -1 || (key > 0 && !s.skip(key)) {
		return s.corrupt(i, "key")
	}
	value, ok := s.varint()
	if !ok || value < -1 || (value > 0 && !s.skip(value)) {
		return s.corrupt(i, "value")
	}
	headers, ok := s.varint()
	if !ok || headers < 0 || headers > length {
		return s.corrupt(i, "header count")
	}
	for range headers {
		n, ok := s.varint()
		if !ok || n < 0 || !s.skip(n) {
			return s.corrupt(i, "header key")
		}
		n, ok = s.varint()
		if !ok || n < -1 || (n > 0 && !s.skip(n)) {
			return s.corrupt(i, "header value")
		}
	}
	if !s.done() {
		return s.corrupt(i, "length")
	}
	if w.rules.Client && delta != int64(i) {
		return Errorf(CodeInvalidRecord, "record %d has offset delta %d", i, delta)
	}
	if delta < 0 || delta > int64(w.info.LastOffsetDelta) {
		return Errorf(CodeInvalidRecord, "record %d has offset delta %d outside its batch", i, delta)
	}
	ts += w.info.BaseTimestamp
	w.maxSeen = max(w.maxSeen, ts)
	if w.rules.RequireKeys && key < 0 {
		w.refuse(CodeInvalidRecord, i, "compacted topic cannot accept a record without a key")
	}
	if ts < w.min || ts > w.max {
		w.refuse(CodeInvalidTimestamp, i, fmt.Sprintf("timestamp %d is out of range, the allowed one is [%d, %d]", ts, w.min, w.max))
	}
	return nil
}

// refuse notes a record that is whole but not allowed; the walk goes on so that
// the answer can name all of them.
func (w *walk) refuse(code int16, i int32, msg string) {
	if w.bad.Code == 0 {
		w.bad = Error{Code: code, Msg: fmt.Sprintf("record %d: %s", i, msg)}
	}
	if w.bad.Code == code && len(w.bad.Records) < maxNamedRecords {
		w.bad.Records = append(w.bad.Records, Fault{Index: i, Msg: msg})
	}
}
