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
