package commitlog

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// lines is a logger's output that may be read meanwhile.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// sealed returns a log of several segments that was closed in order, and opened again
// with a scrubber.
func sealed(t *testing.T, harm func(fs fsys.FS)) (*fixture, *lines) {
	f := newFixture(t, Config{IndexInterval: 200, SegmentBytes: 1500})
	for i := range 40 {
		f.add(values(1000+int64(i), record.Options{}, strings.Repeat("v", 50)), 1)
	}
	f.close()
	harm(f.fs)
	var out lines
	f.scrub, f.logger = time.Millisecond, slog.New(slog.NewTextHandler(&out, nil))
	f.open()
	return f, &out
}

// TestScrubberFindsDamage that a start does not: in the middle of a sealed segment.
func TestScrubberFindsDamage(t *testing.T) {
	f, out := sealed(t, func(fs fsys.FS) { edit(t, fs, segment0, flip(3)) })
	waitFor(t, func() bool { f.Lock(); defer f.Unlock(); return f.stopped != nil })
	var kafka *record.Error
	if _, _, err := f.Read(ReadRequest{Offset: 0, Limit: 1, MaxBytes: 1, MinOne: true}); !errors.As(err, &kafka) || kafka.Code != record.CodeStorageError {
		t.Fatalf("reads answer %v", err)
	}
	for _, want := range []string{segment0, "position=", "broker repair " + segment0} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log does not name %q: %s", want, out)
		}
	}
	if n := f.c.Stats().Damaged; n != 1 {
		t.Errorf("%d damaged segments are counted", n)
	}
}

// TestScrubberBuildsIndexes: an index that is in order but wrong costs a reader time, and
// is built again.
func TestScrubberBuildsIndexes(t *testing.T) {
	var sound []byte
	name := strings.TrimSuffix(segment0, logSuffix) + indexSuffix
	f, _ := sealed(t, func(fs fsys.FS) {
		edit(t, fs, name, func(b []byte) []byte {
			sound = bytes.Clone(b)
			b[offsetEntrySize-1]++ // the first entry's position
			return b
		})
	})
	for off := range int64(9) {
		if b, _, err := f.Read(ReadRequest{Offset: off, Limit: 40, MaxBytes: 1, MinOne: true}); err != nil || record.SizeOf(b) == 0 {
			t.Fatalf("read at %d with a damaged index: %v", off, err)
		}
	}
	waitFor(t, func() bool {
		b, err := readFile(f.fs, name)
		return err == nil && bytes.Equal(b, sound)
	})
	f.Lock()
	defer f.Unlock()
	if f.stopped != nil {
		t.Fatal(f.stopped)
	}
}

// TestScrubberKeepsItsPace: no faster than it may, and each segment once a period.
func TestScrubberKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{TB: t, fs: fsys.NewMem(), mark: 3000, cfg: Config{SegmentBytes: 4 << 20}}
		f.open()
		for range 10 {
			f.add(values(1000, record.Options{}, strings.Repeat("v", 1<<20)), 1)
		}
		f.close()
		c, err := NewCommitter(CommitterConfig{FS: f.fs, Dir: "/data", JournalBytes: -1, CleanEvery: -1, ScrubRate: 64 << 10, ScrubEvery: time.Hour, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		l, err := Open(Options{FS: f.fs, Dir: "/data/t-0", ID: f.id, Config: f.cfg, Committer: c, Owner: &idle{}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for minute := range 60 {
			time.Sleep(time.Minute)
			n := c.Stats().Scrubbed
			if n-last > 60*64<<10+2<<20 {
				t.Fatalf("minute %d: %d bytes, it may read %d", minute, n-last, 60*64<<10)
			}
			last = n
		}
		const sealedBytes = 9 << 20 // three segments of three batches
		if last < sealedBytes || last > sealedBytes+1<<20 {
			t.Fatalf("it has read %d bytes in the first hour", last)
		}
		time.Sleep(time.Hour)
		if n := c.Stats().Scrubbed; n < 2*sealedBytes || n > 2*sealedBytes+1<<20 {
			t.Fatalf("it has read %d bytes in two hours", n)
		}
		if err := errors.Join(l.Close(), c.Close()); err != nil {
			t.Fatal(err)
		}
	})
}
