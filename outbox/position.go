package outbox

// position says how far publication is. It is the relay's whole memory; the last
// row of outbox.progress holds it across restarts.
//
// The events to publish come in windows. A window is what became visible between
// two snapshots, cursor and target, and is published in the order of seq. The
// order of windows and of seq within them is the order of publication:
//
//   - Of two events of one key, written under the key's lock, the second's seq is
//     higher, and no snapshot shows the second without the first. So the second is
//     in the same window behind the first, or in a later window.
//   - A snapshot difference misses nothing: every committed event is visible in
//     some snapshot for the first time.
//
// Snapshots are values; the window they span is the same whenever it is read.
type position struct {
	cursor  string // every event visible in this snapshot is published
	target  string // the end of the window being published; "" = none
	reached int64  // of the window: published up to this seq
	sentTo  int64  // of the window: perhaps published up to this seq
}

// open begins the window up to snapshot.
func (p position) open(snapshot string) position {
	return position{cursor: p.cursor, target: snapshot}
}

// sending notes that events up to seq are about to be handed to the producer.
// Stored before they are, it lets a successor tell what it may be repeating.
func (p position) sending(seq int64) position {
	p.sentTo = max(p.sentTo, seq)
	return p
}

// acked notes that all events of the window up to seq are published.
func (p position) acked(seq int64) position {
	p.reached = max(p.reached, seq)
	return p
}

// finish ends the window: all of it is published.
func (p position) finish() position { return position{cursor: p.target} }

// skip moves the cursor to a snapshot up to which there was nothing to publish.
func (p position) skip(snapshot string) position { return position{cursor: snapshot} }

// inDoubt tells whether an event of the current window may have been published
// by the time the position was stored.
func (p position) inDoubt(seq int64) bool { return p.target != "" && seq <= p.sentTo }
