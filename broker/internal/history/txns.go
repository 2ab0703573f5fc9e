package history

import (
	"maps"
	"slices"
)

// transactions looks at what read_committed readers got of each transaction.
func (c *checker) transactions() {
	byTxn := map[string][]*Send{}
	for i := range c.h.Sends {
		if s := &c.h.Sends[i]; s.Txn != "" {
			byTxn[s.Txn] = append(byTxn[s.Txn], s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byTxn)) {
		t := c.txns[name]
		if t == nil {
			t = &Txn{Name: name}
		}
		c.transaction(t, byTxn[name])
	}
}

// visibility is what committed readers saw of one record.
type visibility uint8

const (
	unseen  visibility = iota // no read could have shown it
	missing                   // a read that should have shown it did not
	visible
)

func (c *checker) transaction(t *Txn, sends []*Send) {
	shown := map[Log]int{}
	absent := map[Log]*Send{}
	some := false
	for _, s := range sends {
		switch c.logs[s.Log].visible(s) {
		case visible:
			shown[s.Log]++
			some = true
			if t.Outcome == Refused {
				c.found(AbortedRead, s.Log, "%q of the aborted transaction %s", s.Value, t.Name)
			}
		case missing:
			absent[s.Log] = s
		case unseen:
		}
	}
	for _, log := range slices.Sorted(maps.Keys(absent)) {
		s := absent[log]
		switch {
		case t.Outcome == OK:
			c.found(TornTxn, log, "%q of the committed transaction %s is not there", s.Value, t.Name)
		case t.Outcome == Unknown && (shown[log] > 0 || some && !t.lossy):
			c.found(TornTxn, log, "%q of transaction %s is not there, another record of it is", s.Value, t.Name)
		}
	}
}

// visible tells what committed readers saw of a record. What lies below the last
// stable offset belongs to a transaction that has ended.
func (l *logView) visible(s *Send) visibility {
	if l.shown[s.Value] {
		return visible
	}
	for _, r := range l.reads {
		if r.Committed && r.Complete && !r.Compacted && s.Outcome == OK && s.Offset >= r.From && s.Offset < r.To {
			return missing
		}
	}
	return unseen
}

// offsets looks at committed offsets.
func (c *checker) offsets() {
	type place struct {
		group string
		log   Log
	}
	commits := map[place][]*Commit{}
	for i := range c.h.Commits {
		k := &c.h.Commits[i]
		commits[place{k.Group, k.Log}] = append(commits[place{k.Group, k.Log}], k)
	}
	fetches := map[place][]*Fetched{}
	for i := range c.h.Fetches {
		f := &c.h.Fetches[i]
		at := place{f.Group, f.Log}
		least, known := int64(-1), f.Offset < 0
		for _, k := range commits[at] {
			known = known || k.Offset == f.Offset && c.counts(k) != Refused
			if c.counts(k) == OK && c.settled(k).before(f.Span) {
				least = max(least, k.Offset)
			}
		}
		for _, before := range fetches[at] {
			if before.Span.before(f.Span) {
				least = max(least, before.Offset)
			}
		}
		fetches[at] = append(fetches[at], f)
		switch {
		case f.Offset < least:
			c.found(WentBack, f.Log, "group %s is told %d, %d was committed", f.Group, f.Offset, least)
		case !known:
			c.found(UnknownOffset, f.Log, "group %s is told %d, which nobody committed", f.Group, f.Offset)
		}
	}
}

// counts is what became of a commit.
func (c *checker) counts(k *Commit) Outcome {
	if k.Txn == "" || k.Outcome == Refused {
		return k.Outcome
	}
	if t := c.txns[k.Txn]; t != nil {
		if k.Outcome == OK || t.Outcome == Refused {
			return t.Outcome
		}
	}
	return Unknown
}

// settled is when a commit took effect.
func (c *checker) settled(k *Commit) Span {
	if t := c.txns[k.Txn]; k.Txn != "" && t != nil {
		return t.Span
	}
	return k.Span
}
