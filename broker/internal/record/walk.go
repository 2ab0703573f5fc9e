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

// record checks one record.
func (w *walk) record(s *scanner, i int32) error {
	length, ok := s.varint()
	if !ok || length < 0 || length > math.MaxInt32 {
		return s.corrupt(i, "length")
	}
	s.begin(length)
	if !s.skip(1) { // attributes, unused
		return s.corrupt(i, "attributes")
	}
	ts, ok := s.varint()
	if !ok {
		return s.corrupt(i, "timestamp")
	}
	delta, ok := s.varint()
	if !ok {
		return s.corrupt(i, "offset delta")
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
