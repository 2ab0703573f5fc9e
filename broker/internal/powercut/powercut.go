// Package powercut is for tests that cut the power under storage: it tells what the
// storage is doing at a call to its file system, picks the calls at which to cut, so
// that rare moments come up as often as common ones, and counts what was hit.
package powercut

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Phase is what the storage was doing when the power went.
type Phase string

// The phases.
const (
	Append      Phase = "append"           // batches into a segment
	Roll        Phase = "roll"             // a new segment
	Retention   Phase = "retention"        // a segment is removed
	Checkpoint  Phase = "checkpoint"       // checkpoint, snapshots, indexes
	Cleaning    Phase = "compaction"       // the compacted copy is written
	Swap        Phase = "compaction swap"  // and put in the place of the old segments
	Journal     Phase = "journal"          // a record of the commit journal
	JournalWrap Phase = "journal wrap"     // the first in the file that was full before
	Create      Phase = "topic create"     // a partition's directory
	Delete      Phase = "topic delete"     // its end
	ClusterLog  Phase = "cluster log"      // topics and configs
	Recovery    Phase = "recovery"         // a start reads and mends
	Idle        Phase = "nothing going on" // between calls
	OpenTxn     Phase = "open transaction" // beside any of those
)

// Watch tells the phase of each call. Recovering is set by the test while it opens
// the storage.
type Watch struct {
	mu         sync.Mutex
	recovering bool
	journal    string
}

// Recovering says that the storage is being opened, or no longer.
func (w *Watch) Recovering(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recovering = on
}

// Phase is what a call to the file system belongs to.
func (w *Watch) Phase(c fsys.Call) Phase {
	w.mu.Lock()
	defer w.mu.Unlock()
	base := path.Base(c.Name)
	wrapped := false
	if strings.HasPrefix(base, "journal.") && c.Op == "write" {
		wrapped = w.journal != "" && w.journal != base
		w.journal = base
	}
	switch {
	case w.recovering:
		return Recovery
	case wrapped:
		return JournalWrap
	case strings.HasPrefix(base, "journal."):
		return Journal
	case strings.HasPrefix(base, "cluster.log"):
		return ClusterLog
	case strings.Contains(c.Name, "-delete"), c.Op == "removeall":
		return Delete
	case strings.HasPrefix(base, "partition.metadata"), c.Op == "mkdir":
		return Create
	case strings.HasSuffix(base, ".cleaned"):
		return Cleaning
	case strings.HasSuffix(base, ".swap"), c.Op == "rename" && !strings.Contains(base, ".tmp") && strings.Contains(base, "index"):
		return Swap
	case c.Op == "create" && strings.HasSuffix(base, ".log"):
		return Roll
	case c.Op == "remove" && strings.HasSuffix(base, ".log"):
		return Retention
	case strings.HasSuffix(base, ".log"):
		return Append
	}
	return Checkpoint
}

// Trigger is the call at which the power goes.
type Trigger struct {
	mu    sync.Mutex
	phase Phase // any, if empty
	left  int64 // calls of it to let pass
	done  bool
}

// Pick picks a call: any of the first calls, or one of the first of a phase.
func Pick(rng *rand.Rand, calls int64, phases ...Phase) *Trigger {
	if len(phases) == 0 || rng.IntN(3) == 0 {
		return &Trigger{left: rng.Int64N(calls)}
	}
	return &Trigger{phase: phases[rng.IntN(len(phases))], left: rng.Int64N(4)}
}

// Hit tells whether this call is the one. It is true once.
func (t *Trigger) Hit(p Phase) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done || t.phase != "" && t.phase != p {
		return false
	}
	t.left--
	t.done = t.left < 0
	return t.done
}

// Tally counts cuts by phase.
type Tally struct {
	mu     sync.Mutex
	cuts   int // of the power
	kills  int // of the process
	phases map[Phase]int
}

// Count counts a cut of the power, or a kill, in the phases it hit.
func (t *Tally) Count(power bool, phases ...Phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if power {
		t.cuts++
	} else {
		t.kills++
	}
	if t.phases == nil {
		t.phases = map[Phase]int{}
	}
	for _, p := range phases {
		t.phases[p]++
	}
}

// Report prints what was hit, and fails the test where one of the phases it is to
// hit, or a number of cuts, was not reached.
func (t *Tally) Report(tb testing.TB, atLeast int, want ...Phase) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	var each []string
	for _, p := range slices.Sorted(maps.Keys(t.phases)) {
		each = append(each, fmt.Sprintf("%s %d", p, t.phases[p]))
	}
	tb.Logf("power cuts: %d, and %d kills; during %s", t.cuts, t.kills, strings.Join(each, ", "))
	if t.cuts < atLeast {
		tb.Errorf("%d power cuts, at least %d were to be made", t.cuts, atLeast)
	}
	for _, p := range want {
		if t.phases[p] == 0 {
			tb.Errorf("no cut during: %s", p)
		}
	}
}
