package commitlog

import (
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestLargeWriteWaits: who brought a large batch waits for the log's files, or leaves it
// to the committer, as it said.
func TestLargeWriteWaits(t *testing.T) {
	f := journaled(t, fsys.NewMem(), 4<<20)
	stage := func() {
		b := values(1000, record.Options{}, strings.Repeat("x", 64<<10))
		info, _ := record.ParseHeader(b)
		f.Lock()
		defer f.Unlock()
		if _, err := f.Append(b, &info, 1, Coordinator); err != nil {
			t.Fatal(err)
		}
	}
	leftToCommitter := func() bool {
		f.Lock()
		defer f.Unlock()
		return f.queued
	}
	f.io.Lock() // somebody writes
	stage()
	f.Write(false)
	if !leftToCommitter() {
		t.Error("nobody is to write the batch")
	}
	f.io.Unlock()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	// A writer that does not wait is noticed in any round in which it runs before the
	// files are given back.
	for range 100 {
		f.io.Lock()
		stage()
		begins, left := make(chan struct{}), make(chan bool)
		go func() {
			close(begins)
			f.Write(true)
			left <- leftToCommitter()
		}()
		<-begins
		f.io.Unlock()
		if <-left {
			t.Fatal("it did not wait")
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
