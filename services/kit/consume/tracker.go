package consume

// tracker follows the records of one partition from fetch to acknowledgement and
// knows the offset up to which all of them are done.
//
// Invariants:
//   - entries are in order of arrival, which is offset order with gaps where the
//     log was compacted or holds transaction markers;
//   - the first entry is not done: what is done at the front is taken off at once;
//   - the watermark is one past the last entry taken off. It moves only forward
//     over entries that are done, so committing it can never skip a record.
type tracker struct {
	entries []entry
	// base is the ticket of entries[0]; tickets count arrivals.
	base uint64
	// next is the offset to commit, epoch the leader epoch of the record before
	// it; known is false until a first record is done.
	next  int64
	epoch int32
	known bool
}

type entry struct {
	offset int64
	millis int64 // the record's timestamp
	epoch  int32
	done   bool
}

// add takes a fetched record in and returns its ticket.
func (t *tracker) add(offset int64, leaderEpoch int32, millis int64) uint64 {
	t.entries = append(t.entries, entry{offset: offset, epoch: leaderEpoch, millis: millis})
	return t.base + uint64(len(t.entries)-1)
}

// done marks a record as acknowledged and moves the watermark over all that are
// contiguous.
func (t *tracker) done(ticket uint64) {
	t.entries[ticket-t.base].done = true
	n := 0
	for n < len(t.entries) && t.entries[n].done {
		n++
	}
	if n == 0 {
		return
	}
	last := t.entries[n-1]
	t.next, t.epoch, t.known = last.offset+1, last.epoch, true
	t.base += uint64(n)
	t.entries = t.entries[n:]
	if len(t.entries) == 0 {
		t.entries = nil // lets the array of a burst go
	}
}

// watermark returns the offset to commit and the leader epoch before it.
func (t *tracker) watermark() (offset int64, epoch int32, ok bool) {
	return t.next, t.epoch, t.known
}

// window is the number of records between the watermark and the last fetched.
func (t *tracker) window() int { return len(t.entries) }

// oldest returns the timestamp, in milliseconds, of the first record that is not
// done; false if there is none.
func (t *tracker) oldest() (int64, bool) {
	if len(t.entries) == 0 {
		return 0, false
	}
	return t.entries[0].millis, true
}
