package commitlog

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestOneSyncForAllPartitions: what queues in twelve logs during a sync is made durable
// by one more, of the journal.
func TestOneSyncForAllPartitions(t *testing.T) {
	var holding atomic.Bool
	var journal, segments atomic.Int64
	held, gate := make(chan struct{}, 1), make(chan struct{})
	f := journaled(t, &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		switch {
		case c.Op != "sync":
		case strings.HasSuffix(c.Name, logSuffix):
			segments.Add(1)
		case strings.Contains(c.Name, "journal"):
			journal.Add(1)
			if holding.CompareAndSwap(true, false) {
				held <- struct{}{}
				<-gate
			}
		}
		return nil
	}}, 4<<20)
	logs := []*Log{f.Log}
	for i := range 11 {
		l, err := Open(Options{FS: f.fs, Dir: fmt.Sprintf("/data/more-%d", i), Committer: f.c, Owner: &idle{}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		logs = append(logs, l)
	}
	stage := func(l *Log) {
		b := values(1000, record.Options{}, "x")
		info, _ := record.ParseHeader(b)
		l.Lock()
		_, err := l.Append(b, &info, 1, Coordinator)
		l.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		l.Write(true)
	}
	holding.Store(true)
	stage(f.Log)
	<-held
	journalBefore, segmentsBefore := journal.Load(), segments.Load()
	for _, l := range logs {
		stage(l)
	}
	close(gate)
	waitFor(t, func() bool {
		for _, l := range logs {
			l.Lock()
			done := l.durable == l.end
			l.Unlock()
			if !done {
				return false
			}
		}
		return true
	})
	if j, s := journal.Load()-journalBefore, segments.Load()-segmentsBefore; j != 1 || s != 0 {
		t.Fatalf("twelve logs cost %d syncs of the journal and %d of segments, one of the journal was to do", j, s)
	}
}
