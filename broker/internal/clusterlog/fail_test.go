package clusterlog

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// TestFailedWriteHeals: without space nothing of a frame stays, and the log goes on
// once there is some, also when the next frame is shorter.
func TestFailedWriteHeals(t *testing.T) {
	for _, fault := range []error{fsys.ErrNoSpace, fsys.ErrShort, fsys.ErrIO} {
		var fail atomic.Bool
		fs := fresh(t, "one")
		l, _ := open(t, &fsys.Faulty{FS: fs, Hook: func(c fsys.Call) error {
			if c.Op == "write" && fail.Load() {
				return fault
			}
			return nil
		}})
		l.OnFailed(func(err error) { t.Errorf("%v: a write that failed is no failed sync: %v", fault, err) })
		fail.Store(true)
		if err := l.Append([]byte(strings.Repeat("long ", 100))); !errors.Is(err, fault) {
			t.Fatal(err)
		}
		if err := l.Replace([][]byte{[]byte("all")}); !errors.Is(err, fault) {
			t.Fatal(err)
		}
		fail.Store(false)
		if err := l.Append([]byte("two")); err != nil {
			t.Fatalf("%v: the log did not heal: %v", fault, err)
		}
		if _, got := open(t, fs); cmp.Diff([]string{"one", "two"}, got) != "" {
			t.Fatalf("%v: %q", fault, got)
		}
	}
}

// TestFailedSync: it is not tried again, nothing after it is acknowledged, and who
// asked is told.
func TestFailedSync(t *testing.T) {
	for _, op := range []string{"sync", "syncdir"} {
		var calls atomic.Int64
		fail := false
		l, _ := open(t, &fsys.Faulty{FS: fresh(t, "one"), Hook: func(c fsys.Call) error {
			if fail && c.Mutates() {
				calls.Add(1)
				if c.Op == op {
					return fsys.ErrIO
				}
			}
			return nil
		}})
		var told error
		l.OnFailed(func(err error) { told = err })
		fail = true
		change := func() error {
			if op == "syncdir" {
				return l.Replace([][]byte{[]byte("all")})
			}
			return l.Append([]byte("two"))
		}
		if err := change(); !errors.Is(err, fsys.ErrIO) {
			t.Fatal(err)
		}
		if !errors.Is(told, fsys.ErrIO) {
			t.Errorf("%s: nobody was told: %v", op, told)
		}
		calls.Store(0)
		if err := errors.Join(l.Append([]byte("three")), l.Replace(nil)); err == nil || calls.Load() != 0 {
			t.Errorf("%s: %d calls after the failed one, %v", op, calls.Load(), err)
		}
	}
}
