package coordinator

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// told is a log that a test reads while it is written.
type told struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (l *told) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

// errors returns how many errors were logged since it was last asked.
func (l *told) errors() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := strings.Count(l.log.String(), "level=ERROR")
	l.log.Reset()
	return n
}

// TestTroubleIsToldOnce: what keeps a coordinator from working is logged when it begins,
// rarely while it lasts, and when it begins again; each client is told.
func TestTroubleIsToldOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		op    string
		fault error
		lasts bool // whatever happens
		// errors are what is logged at first: that something could not be written, and,
		// where reads are refused as well, that nothing can be loaded.
		errors int
	}{
		{"a sync fails and stops the partition", "sync", fsys.ErrIO, true, 2},
		{"the disk is full", "write", fsys.ErrNoSpace, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var failing atomic.Bool
			n, err := tryNode(t, &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
				if failing.Load() && c.Op == tt.op && strings.Contains(c.Name, "/"+cluster.OffsetsTopic) {
					return tt.fault
				}
				return nil
			}}, commitlog.CommitterConfig{CleanEvery: -1}, patient, newEnds())
			if err != nil {
				t.Fatal(err)
			}
			defer n.abandon()
			log := &told{}
			n.groups.cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			n.groups.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(n.ahead.Load())) }
			check := func(code int16, errors int) {
				t.Helper()
				for range 20 {
					if got := n.commit("g", 5); got != code {
						t.Fatalf("a commit: code %d, want %d", got, code)
					}
				}
				if got := log.errors(); got != errors {
					t.Errorf("%d errors were logged, want %d", got, errors)
				}
			}
			check(errcode.None, 0)
			failing.Store(true)
			check(errcode.CoordinatorNotAvailable, tt.errors)
			n.ahead.Add(int64(tellAgain))
			check(errcode.CoordinatorNotAvailable, 1)
			failing.Store(false)
			if tt.lasts {
				check(errcode.CoordinatorNotAvailable, 0)
				return
			}
			check(errcode.None, 0)
			failing.Store(true)
			check(errcode.CoordinatorNotAvailable, 1)
		})
	}
}
