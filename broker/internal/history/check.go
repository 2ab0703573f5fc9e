package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is a kind of anomaly.
type Kind string

// The anomalies.
const (
	// Lost: what was acknowledged cannot be read.
	Lost Kind = "lost"
	// TwoValues: one offset had two values, or another than was acknowledged.
	TwoValues Kind = "two values"
	// Duplicate: a record that was sent once, by an idempotent producer, is stored twice.
	Duplicate Kind = "duplicate"
	// Phantom: a record was read that nobody sent.
	Phantom Kind = "phantom"
	// RefusedRead: a record was read whose producer was told that it is not stored.
	RefusedRead Kind = "refused record read"
	// AbortedRead: a read_committed reader got a record of an aborted transaction.
	AbortedRead Kind = "aborted record read"
	// TornTxn: of a committed transaction a read_committed reader did not get all, or
	// of one whose outcome is not known it got a part.
	TornTxn Kind = "torn transaction"
	// Disorder: records of one producer and key lie in another order than they were sent.
	Disorder Kind = "order of a key"
	// AboveHighWatermark: a reader got what lies at or above the high watermark.
	AboveHighWatermark Kind = "read above the high watermark"
	// Vanished: what was read once is not there any more.
	Vanished Kind = "read and gone"
	// Gap: an offset is missing in the middle of a log.
	Gap Kind = "gap"
	// WentBack: a committed offset is lower than one acknowledged, or told, before.
	WentBack Kind = "committed offset went back"
	// UnknownOffset: a committed offset was told that nobody committed.
	UnknownOffset Kind = "committed offset from nowhere"
)

// Anomaly is one broken promise.
type Anomaly struct {
	Kind Kind
	Log  Log
	Text string
}

func (a Anomaly) String() string { return fmt.Sprintf("%s: %s: %s", a.Log, a.Kind, a.Text) }

// Format renders anomalies for a test's failure, at most a few of each kind.
func Format(all []Anomaly) string {
	const shown = 5
	var b strings.Builder
	seen := map[Kind]int{}
	for _, a := range all {
		if seen[a.Kind]++; seen[a.Kind] <= shown {
			fmt.Fprintln(&b, a)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(seen)) {
		if n := seen[k]; n > shown {
			fmt.Fprintf(&b, "and %d more: %s\n", n-shown, k)
		}
	}
	return b.String()
}

// Check returns the anomalies of a history, by log.
func Check(h *History) []Anomaly {
	c := checker{h: h, logs: map[Log]*logView{}}
	c.gather()
	for _, name := range slices.Sorted(maps.Keys(c.logs)) {
		l := c.logs[name]
		c.reads(l)
		c.stored(l)
		c.acknowledged(l)
	}
	c.transactions()
	c.offsets()
	return c.out
}

type checker struct {
	h    *History
	logs map[Log]*logView
	txns map[string]*Txn
	out  []Anomaly
}

// logView is what a history says of one log.
type logView struct {
	name  Log
	sends map[string]*Send // by value
	reads []*Read          // in order of their end
	at    map[int64]Record // what was read, by offset
	shown map[string]bool  // values that read_committed readers got
}

func (c *checker) log(name Log) *logView {
	l := c.logs[name]
	if l == nil {
		l = &logView{name: name, sends: map[string]*Send{}, at: map[int64]Record{}, shown: map[string]bool{}}
		c.logs[name] = l
	}
	return l
}

func (c *checker) found(kind Kind, log Log, format string, args ...any) {
	c.out = append(c.out, Anomaly{kind, log, fmt.Sprintf(format, args...)})
}

func (c *checker) gather() {
	c.txns = map[string]*Txn{}
	for i := range c.h.Txns {
		c.txns[c.h.Txns[i].Name] = &c.h.Txns[i]
	}
	for i := range c.h.Sends {
		s := &c.h.Sends[i]
		c.log(s.Log).sends[s.Value] = s
	}
	for i := range c.h.Reads {
		r := &c.h.Reads[i]
		l := c.log(r.Log)
		l.reads = append(l.reads, r)
	}
	for _, l := range c.logs {
		slices.SortStableFunc(l.reads, func(a, b *Read) int { return cmp.Compare(a.Ended, b.Ended) })
	}
}

// reads holds each read against itself and those before it.
func (c *checker) reads(l *logView) {
	for _, r := range l.reads {
		if c.h.Whole[l.name] && r.Start > 0 {
			c.found(Lost, l.name, "the log begins at offset %d, nothing was to be deleted", r.Start)
		}
		next := r.From
		for _, rec := range r.Records {
			if r.HighWatermark >= 0 && rec.Offset >= r.HighWatermark {
				c.found(AboveHighWatermark, l.name, "offset %d was read, the high watermark is %d", rec.Offset, r.HighWatermark)
			}
			if !r.Committed && !r.Compacted && rec.Offset != next {
				c.found(Gap, l.name, "offset %d follows %d", rec.Offset, next-1)
			}
			next = rec.Offset + 1
			was, ok := l.at[rec.Offset]
			if ok && (was.Value != rec.Value || was.Control != rec.Control) {
				c.found(TwoValues, l.name, "offset %d had %q and has %q", rec.Offset, was.Value, rec.Value)
			}
			l.at[rec.Offset] = rec
			if r.Committed {
				l.shown[rec.Value] = true
			}
		}
		if !r.Committed && !r.Compacted && next != r.To {
			c.found(Gap, l.name, "nothing at offsets %d to %d", next, r.To-1)
		}
	}
	c.vanished(l)
}

// vanished looks, in each read, for what reads before it got. Who reads committed
// passes over what others got, but not the other way round.
func (c *checker) vanished(l *logView) {
	all, committed := map[int64]int64{}, map[int64]int64{} // offset → when it was first read
	for _, r := range l.reads {
		seen := all
		if r.Committed {
			seen = committed
		}
		if !r.Compacted {
			has := map[int64]bool{}
			for _, rec := range r.Records {
				has[rec.Offset] = true
			}
			gone := func(offset int64) {
				if at, ok := seen[offset]; ok && at < r.Began && !has[offset] {
					c.found(Vanished, l.name, "%q at offset %d", l.at[offset].Value, offset)
				}
			}
			for offset := r.From; offset < r.To; offset++ {
				gone(offset)
			}
			if r.Complete && !r.Committed {
				for _, offset := range slices.Sorted(maps.Keys(seen)) {
					if offset >= r.To {
						gone(offset)
					}
				}
			}
		}
		for _, rec := range r.Records {
			if _, ok := all[rec.Offset]; !ok {
				all[rec.Offset] = r.Ended
			}
			if _, ok := committed[rec.Offset]; !ok && r.Committed {
				committed[rec.Offset] = r.Ended
			}
		}
	}
}

// stored looks at the records of a log as they lie there.
func (c *checker) stored(l *logView) {
	type source struct{ producer, key string }
	last := map[source]int64{}
	places := map[string]int64{}
	for _, offset := range slices.Sorted(maps.Keys(l.at)) {
		rec := l.at[offset]
		if rec.Control {
			continue
		}
		s := l.sends[rec.Value]
		if s == nil {
			c.found(Phantom, l.name, "%q at offset %d", rec.Value, offset)
			continue
		}
		if s.Outcome == Refused {
			c.found(RefusedRead, l.name, "%q at offset %d", rec.Value, offset)
		}
		if first, again := places[rec.Value]; again {
			if s.Once {
				c.found(Duplicate, l.name, "%q at offsets %d and %d", rec.Value, first, offset)
			}
			continue
		}
		places[rec.Value] = offset
		from := source{s.Producer, s.Key}
		if seq, ok := last[from]; ok && s.Seq < seq {
			c.found(Disorder, l.name, "%q, number %d of %s for key %q, lies behind number %d", rec.Value, s.Seq, s.Producer, s.Key, seq)
		}
		last[from] = s.Seq
	}
}

// acknowledged looks for what was acknowledged in the reads that came after it.
func (c *checker) acknowledged(l *logView) {
	for _, value := range slices.Sorted(maps.Keys(l.sends)) {
		s := l.sends[value]
		if s.Outcome != OK || s.Offset < 0 {
			continue
		}
		if rec, ok := l.at[s.Offset]; ok && rec.Value != s.Value {
			c.found(TwoValues, l.name, "offset %d was acknowledged for %q and has %q", s.Offset, s.Value, rec.Value)
			continue
		}
		for _, r := range l.reads {
			// A gap in a read that is not complete is an anomaly of its own.
			if r.Committed || !r.Complete || !s.Span.before(r.Span) || s.Offset < r.From {
				continue
			}
			// acks=1 is answered before the high watermark is there.
			if s.Acks != -1 && s.Offset >= r.To && !r.Settled {
				continue
			}
			if !r.has(s) {
				c.found(Lost, l.name, "%q was acknowledged at offset %d", s.Value, s.Offset)
				break
			}
		}
	}
}

// has tells whether a read has what was sent, or, in a compacted log, what replaced it.
func (r *Read) has(s *Send) bool {
	i, ok := slices.BinarySearchFunc(r.Records, s.Offset, func(rec Record, o int64) int { return cmp.Compare(rec.Offset, o) })
	if ok || !r.Compacted {
		return ok
	}
	return slices.ContainsFunc(r.Records[i:], func(rec Record) bool { return rec.Key == s.Key })
}
