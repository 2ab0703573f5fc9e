package commitlog

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// lateWorld is a log under a policy that does not sync in rounds.
type lateWorld struct {
	*Log
	t     *testing.T
	c     *Committer
	mem   *fsys.Mem
	syncs atomic.Int64 // of the segment
	topic Config
}

func newLateWorld(t *testing.T, cfg CommitterConfig, topic Config) *lateWorld {
	w := &lateWorld{t: t, mem: fsys.NewMem(), topic: topic}
	cfg.FS, cfg.Dir, cfg.Logger, cfg.ScrubRate = &fsys.Faulty{FS: w.mem, Hook: func(c fsys.Call) error {
		if c.Op == "sync" && strings.HasSuffix(c.Name, logSuffix) {
			w.syncs.Add(1)
		}
		return nil
	}}, "/data", quiet, -1
	var err error
	if w.c, err = NewCommitter(cfg); err != nil {
		t.Fatal(err)
	}
	if w.Log, err = Open(Options{FS: cfg.FS, Dir: "/data/t-0", ID: [16]byte{1}, Config: w.topic, Committer: w.c, Owner: &idle{}, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *lateWorld) append(size int) {
	w.t.Helper()
	b := values(time.Now().UnixMilli(), record.Options{}, strings.Repeat("x", size))
	info, _ := record.ParseHeader(b)
	w.Lock()
	_, err := w.Append(b, &info, 1, Coordinator)
	w.Unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	w.Write(true)
	synctest.Wait()
}

func (w *lateWorld) close() {
	if err := errors.Join(w.Log.Close(), w.c.Close()); err != nil {
		w.t.Error(err)
	}
}

// TestBackgroundSync: what no acknowledgement waits for is synced in the background, so
// that a power cut costs no more than a minute, or a second, or 128 MiB.
func TestBackgroundSync(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg CommitterConfig
		at  time.Duration
	}{
		"os":             {CommitterConfig{Flush: FlushOS}, time.Minute},
		"interval":       {CommitterConfig{Flush: FlushInterval}, time.Second},
		"interval of 5s": {CommitterConfig{Flush: FlushInterval, Interval: 5 * time.Second}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLateWorld(t, tt.cfg, Config{})
				defer w.close()
				if got := w.c.cfg.SyncBytes; got != 128<<20 {
					t.Errorf("a log is synced early after %d bytes", got)
				}
				for range 3 {
					w.append(10)
				}
				time.Sleep(tt.at - time.Millisecond)
				synctest.Wait()
				if n := w.syncs.Load(); n != 0 {
					t.Fatalf("%d syncs before it was time", n)
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				w.Lock()
				durable := w.Durable()
				w.Unlock()
				if n := w.syncs.Load(); n != 1 || durable != 3 {
					t.Fatalf("%d syncs, durable up to %d", n, durable)
				}
				time.Sleep(10 * tt.at)
				synctest.Wait()
				if n := w.syncs.Load(); n != 1 {
					t.Fatalf("%d syncs although nothing was written", n)
				}
			})
		})
	}
	t.Run("much", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newLateWorld(t, CommitterConfig{Flush: FlushOS, SyncBytes: 10 << 10}, Config{})
			defer w.close()
			for range 9 {
				w.append(1 << 10)
			}
			if n := w.syncs.Load(); n != 0 {
				t.Fatalf("%d syncs of 9 KiB", n)
			}
			w.append(2 << 10)
			if n := w.syncs.Load(); n != 1 {
				t.Fatalf("%d syncs after 11 KiB", n)
			}
		})
	})
}

// TestIdleLogIsCheckpointed: after a minute of quiet a kill leaves nothing to read, and
// damage is not taken for a torn tail.
func TestIdleLogIsCheckpointed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLateWorld(t, CommitterConfig{JournalBytes: -1}, Config{})
		defer w.close()
		for range 3 {
			w.append(100)
		}
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		left := &fixture{TB: t, fs: w.mem.Kill(), mark: 1 << 20}
		size := int64(len(values(1000, record.Options{}, strings.Repeat("x", 100))))
		edit(t, left.fs, segment0, flip(2))
		left.refused(segment0, 2*size)
	})
}

// TestCompactionLagHolds: a record that a later one replaces is gone within
// max.compaction.lag.ms, and a look or two, although its segment is far from full and
// nothing else is written.
func TestCompactionLagHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLateWorld(t, CommitterConfig{JournalBytes: -1}, Config{Compact: true, CompactionLagMax: time.Hour, DirtyRatio: 0.99})
		defer w.close()
		for range 3 {
			w.append(100) // all have one key
		}
		first := func() int64 {
			b, _, err := w.Read(ReadRequest{Limit: 3, MaxBytes: 1, MinOne: true})
			if err != nil {
				t.Fatal(err)
			}
			info, err := record.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			return info.BaseOffset
		}
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if got := first(); got != 0 {
			t.Fatalf("before its time the first record is at %d", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := first(); got != 2 {
			t.Fatalf("the first record left is at %d, only the last should be", got)
		}
	})
}
