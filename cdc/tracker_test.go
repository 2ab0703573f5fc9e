package cdc

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

var someTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTracker(t *testing.T) {
	tr := newTracker(10)
	want := func(pos pgoutput.LSN) {
		t.Helper()
		if got := tr.progress().pos; got != pos {
			t.Errorf("position %d, want %d", got, pos)
		}
	}
	tr.mark(12) // nothing under way: a mark counts at once
	want(12)
	a := tr.begin(20, someTime)
	b := tr.begin(30, someTime)
	tr.mark(35) // behind what is under way: it waits
	a.add()
	b.add()
	b.done()
	b.ack()
	want(12) // b is complete, a before it is not
	a.ack()
	want(12) // a is acknowledged but more of it may come
	a.done()
	want(35)
	tr.begin(40, someTime).done() // a transaction without records
	want(40)
	tr.mark(38)
	want(40) // never back

	// A transaction that is held stays in the way, and what follows is dropped.
	c, d := tr.begin(50, someTime), tr.begin(60, someTime)
	c.done()
	want(50)
	e := tr.begin(70, someTime)
	d.hold()
	for _, f := range []*inflight{e, d, tr.begin(80, someTime)} {
		f.done()
	}
	tr.mark(90)
	want(50)
	if p := tr.progress(); !p.held || p.oldest.IsZero() || len(tr.queue) != 1 {
		t.Errorf("%+v with %d kept", p, len(tr.queue))
	}
}

// TestTrackerProperty: whatever the order of acknowledgements, the position is
// the end of the last transaction before the first incomplete one.
func TestTrackerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := newTracker(0)
		type entry struct {
			f        *inflight
			end      pgoutput.LSN
			left     int
			finished bool
		}
		var all []*entry
		open := func() []*entry {
			var out []*entry
			for _, e := range all {
				if e.f != nil && (e.left > 0 || !e.finished) {
					out = append(out, e)
				}
			}
			return out
		}
		var end pgoutput.LSN
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				end++
				all = append(all, &entry{f: tr.begin(end, someTime), end: end})
			},
			"mark": func(t *rapid.T) {
				end++
				tr.mark(end)
				all = append(all, &entry{end: end, finished: true})
			},
			"send": func(t *rapid.T) {
				for _, e := range all {
					if e.f != nil && !e.finished {
						e.f.add()
						e.left++
						return
					}
				}
			},
			"finish": func(t *rapid.T) {
				for _, e := range all {
					if e.f != nil && !e.finished {
						e.finished = true
						e.f.done()
						return
					}
				}
			},
			"ack": func(t *rapid.T) {
				if o := open(); len(o) > 0 {
					if e := rapid.SampledFrom(o).Draw(t, "entry"); e.left > 0 {
						e.left--
						e.f.ack()
					}
				}
			},
			"": func(t *rapid.T) {
				var want pgoutput.LSN
				for _, e := range all {
					if e.f != nil && (e.left > 0 || !e.finished) {
						break
					}
					want = e.end
				}
				if got := tr.progress().pos; got != want {
					t.Fatalf("position %d, want %d", got, want)
				}
			},
		})
	})
}
