package datadir

import (
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

func TestMake(t *testing.T) {
	for seed := range uint64(20) {
		fs := fsys.NewMem()
		if err := Make(fs, "/a/b/c"); err != nil {
			t.Fatal(err)
		}
		if err := Make(fs, "/a/b/c"); err != nil {
			t.Fatal(err)
		}
		if _, err := fs.Crash(seed).Stat("/a/b/c"); err != nil {
			t.Fatalf("after a power cut: %v", err)
		}
	}
}

// TestMakeAfterAKill: a process killed while it made the directories leaves names that
// the next one makes durable.
func TestMakeAfterAKill(t *testing.T) {
	for n := int64(0); n < 6; n++ {
		mem := fsys.NewMem()
		var left *fsys.Mem
		calls := int64(0)
		fs := &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			if c.Mutates() {
				if calls == n {
					left = mem.Kill()
				}
				calls++
			}
			return nil
		}}
		if err := Make(fs, "/a/b/c"); err != nil {
			t.Fatal(err)
		}
		if left == nil {
			t.Fatalf("%d calls", calls)
		}
		if err := Make(left, "/a/b/c"); err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(20) {
			if _, err := left.Crash(seed).Stat("/a/b/c"); err != nil {
				t.Fatalf("killed at call %d, then a power cut: %v", n, err)
			}
		}
	}
}
