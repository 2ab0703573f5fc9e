package powercut

import (
	"math/rand/v2"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

func TestPhases(t *testing.T) {
	var w Watch
	for _, tt := range []struct {
		op, name string
		want     Phase
	}{
		{"write", "/d/topics/t-0/00000000000000000000.log", Append},
		{"sync", "/d/topics/t-0/00000000000000000000.log", Append},
		{"create", "/d/topics/t-0/00000000000000000009.log", Roll},
		{"remove", "/d/topics/t-0/00000000000000000000.log", Retention},
		{"write", "/d/topics/t-0/checkpoint.tmp", Checkpoint},
		{"rename", "/d/topics/t-0/checkpoint", Checkpoint},
		{"write", "/d/topics/t-0/00000000000000000000.log.cleaned", Cleaning},
		{"rename", "/d/topics/t-0/00000000000000000000-00000000000000000009.swap", Swap},
		{"rename", "/d/topics/t-0/00000000000000000000.timeindex", Swap},
		{"write", "/d/journal.0", Journal},
		{"write", "/d/journal.1", JournalWrap},
		{"sync", "/d/journal.1", Journal},
		{"write", "/d/journal.1", Journal},
		{"write", "/d/journal.0", JournalWrap},
		{"write", "/d/cluster.log", ClusterLog},
		{"rename", "/d/topics/t-0.01020304-delete", Delete},
		{"mkdir", "/d/topics/t-0", Create},
		{"write", "/d/topics/t-0/partition.metadata.tmp", Create},
	} {
		if got := w.Phase(fsys.Call{Op: tt.op, Name: tt.name}); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.op, tt.name, got, tt.want)
		}
	}
	w.Recovering(true)
	if got := w.Phase(fsys.Call{Op: "write", Name: "/d/journal.1"}); got != Recovery {
		t.Error(got)
	}
}

func TestTriggerHitsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		tr := Pick(rng, 10, Roll, Swap)
		hits := 0
		for range 20 {
			for _, p := range []Phase{Append, Roll, Swap} {
				if tr.Hit(p) {
					hits++
				}
			}
		}
		if hits != 1 {
			t.Fatalf("%+v: %d hits", tr, hits)
		}
	}
}
