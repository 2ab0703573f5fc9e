package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// journaled returns a log on a data directory whose journal is open.
func journaled(t testing.TB, fs fsys.FS, bytes int64) *fixture {
	f := &fixture{TB: t, fs: fs, mark: 1 << 20, journal: bytes}
	f.open()
	t.Cleanup(f.close)
	for range 3 {
		f.add(values(1000, record.Options{}, "warm up"), 1)
	}
	waitFor(t, func() bool { return f.c.journal == nil || f.c.journal.isOpen() })
	return f
}

// turn is the number of the journal's turn. What does not fit it is marked in it when
// whoever waits for it has its answer already, which may begin another.
func (f *fixture) turn() uint64 {
	j := f.c.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.gen
}

// TestJournalCarriesRounds: rounds cost one sync, of the journal.
func TestJournalCarriesRounds(t *testing.T) {
	var logSyncs atomic.Int64
	f := journaled(t, &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if c.Op == "sync" && strings.HasSuffix(c.Name, logSuffix) {
			logSyncs.Add(1)
		}
		return nil
	}}, 4<<20)
	before, was := f.c.Stats(), logSyncs.Load()
	for range 200 {
		f.add(values(1000, record.Options{}, "x"), 1)
	}
	s := f.c.Stats()
	if n := s.Journaled - before.Journaled; n < 100 {
		t.Errorf("%d of 200 rounds went to the journal", n)
	}
	if n := logSyncs.Load() - was; n > 150 { // for checkpoints of the journal
		t.Errorf("%d syncs of the segment", n)
	}
}

// TestJournalWraps: a small journal is used again and again. How many rounds find
// it free depends on how soon checkpoints free it, so the test goes on until it has.
func TestJournalWraps(t *testing.T) {
	f := journaled(t, fsys.NewMem(), 32<<10)
	before, gen := f.c.Stats().Journaled, f.turn()
	waitFor(t, func() bool {
		f.add(values(1000, record.Options{}, "x"), 1)
		return f.c.Stats().Journaled-before > 200
	})
	if f.turn() < gen+2 {
		t.Error("the journal has not wrapped")
	}
}

// TestJournalTurnIsTorn: when the power goes in the first long record of a file's turn,
// nothing of the turn before passes for records that had been synced.
func TestJournalTurnIsTorn(t *testing.T) {
	f := journaled(t, fsys.NewMem(), 32<<10)
	j := f.c.journal
	gen := f.turn()
	var file []byte
	var last journalRecord
	waitFor(t, func() bool {
		f.add(values(1000, record.Options{}, strings.Repeat("x", 3000)), 1)
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.gen < gen+3 { // each file has had a turn
			return false
		}
		b, err := readFile(f.fs, journalFile(j.dir, j.cur))
		if err != nil {
			t.Fatal(err)
		}
		records, _ := parseJournal(b)
		file, last = b, records[len(records)-1]
		return len(records) <= 2 && last.end-last.at > 2*journalAlign
	})
	copy(file[last.at+journalAlign:], bytes.Repeat([]byte{0xff}, journalAlign))
	if records, holes := parseJournal(file); len(holes) > 0 {
		t.Errorf("%d records are left, with holes at %d", len(records), holes)
	}
}

// TestJournalWithoutItsPadding: a record that a full disk leaves all but the padding of
// is in the journal. It was taken for one that is not, which the next record goes over;
// when that began a turn, the start found two records of one number and refused them.
func TestJournalWithoutItsPadding(t *testing.T) {
	var short atomic.Bool
	f := journaled(t, &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if c.Op == "write" && strings.Contains(c.Name, "journal") && short.CompareAndSwap(true, false) {
			return fsys.ErrShort
		}
		return nil
	}}, 64<<10)
	j := f.c.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	short.Store(true)
	if _, ok, err := j.write(beginRecord(nil), 0); !ok || err != nil {
		t.Errorf("written is %v, %v", ok, err)
	}
	j.pos = j.half - journalAlign // a longer one begins a turn
	if _, ok, err := j.write(appendEntryHead(beginRecord(nil), entryVoid, strings.Repeat("x", journalAlign), [16]byte{}), 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got, err := ReadJournal(f.fs, f.c.cfg.Dir); err != nil || got.Damage != nil {
		t.Fatal(err, got.Damage)
	}
}

// TestJournalIsReplayed cuts the power where only the journal has what was
// acknowledged, and where it was cut back, deleted or made again meanwhile.
func TestJournalIsReplayed(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(f *fixture) // after ten batches at offsets 3 to 12
		end  int64
	}{
		{"nothing", func(*fixture) {}, 13},
		{"truncate", func(f *fixture) {
			if end, err := f.Truncate(7); end != 7 || err != nil {
				f.Fatal(end, err)
			}
		}, 7},
		{"truncate and append", func(f *fixture) {
			if _, err := f.Truncate(7); err != nil {
				f.Fatal(err)
			}
			f.add(values(1000, record.Options{}, "other"), 2)
		}, 8},
		{"delete and make again", func(f *fixture) {
			if err := f.Log.Delete(); err != nil {
				f.Fatal(err)
			}
			f.id = [16]byte{2}
			log, err := Open(Options{FS: f.fs, Dir: "/data/t-0", ID: f.id, Committer: f.c, Owner: &idle{}, Logger: quiet})
			if err != nil {
				f.Fatal(err)
			}
			f.Log = log
		}, 0},
		{"close", func(f *fixture) {
			if err := f.Log.Close(); err != nil {
				f.Fatal(err)
			}
		}, 13},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(20) {
				mem := fsys.NewMem()
				f := journaled(t, mem, 64<<10)
				for i := range 10 {
					f.add(values(1000, record.Options{}, fmt.Sprint("v", i)), 1)
				}
				tt.then(f)
				after := &fixture{TB: t, fs: mem.Crash(seed), mark: 1 << 20, journal: 64 << 10, id: f.id}
				after.open()
				if after.End() != tt.end {
					t.Fatalf("seed %d: the log ends at %d, want %d", seed, after.End(), tt.end)
				}
				after.close()
				f.close()
			}
		})
	}
}

// TestJournalIsKept: where a start cannot write the journal into a log, it changes its mind
// about nothing: the next one does.
func TestJournalIsKept(t *testing.T) {
	mem := fsys.NewMem()
	f := journaled(t, mem, 64<<10)
	before := f.c.Stats().Journaled
	end := f.add(values(1000, record.Options{}, "x"), 1) + 1
	waitFor(t, func() bool { return f.c.Stats().Journaled > before })
	left := mem.Crash(0) // loses everything that is not synced
	for _, op := range []string{"sync", "write"} {
		failing := &fixture{TB: t, mark: 1 << 20, journal: 64 << 10, fs: &fsys.Faulty{FS: left, Hook: func(c fsys.Call) error {
			if c.Op == op && strings.HasSuffix(c.Name, logSuffix) {
				return fsys.ErrIO
			}
			return nil
		}}}
		if err := failing.tryOpen(); !errors.Is(err, fsys.ErrIO) || !strings.Contains(err.Error(), "/data/t-0, and is kept") {
			t.Fatal(err)
		}
	}
	after := &fixture{TB: t, fs: left, mark: 1 << 20, journal: 64 << 10}
	after.open()
	defer after.close()
	if after.End() != end {
		t.Fatalf("the log ends at %d, want %d", after.End(), end)
	}
}

// TestJournalIsRemovedWhenUnwanted: another policy takes what it holds and removes it.
func TestJournalIsRemovedWhenUnwanted(t *testing.T) {
	mem := fsys.NewMem()
	f := journaled(t, mem, 64<<10)
	f.add(values(1000, record.Options{}, "x"), 1)
	left := mem.Crash(0) // loses everything that is not synced
	after := &fixture{TB: t, fs: left, mark: 1 << 20, journal: -1}
	after.open()
	defer after.close()
	if after.End() != 4 {
		t.Fatal(after.End())
	}
	for _, name := range journalNames {
		if _, err := left.Stat("/data/" + name); !errors.Is(err, fsys.ErrNotExist) {
			t.Fatal(name, err)
		}
	}
}

// TestFailedJournalMakesReadOnly: the journal speaks for all logs, so that its failed
// sync, never tried again, ends all writing. What was acknowledged can be read, also
// in logs that are opened later.
func TestFailedJournalMakesReadOnly(t *testing.T) {
	var fail atomic.Bool
	var syncs atomic.Int64
	f := journaled(t, &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if fail.Load() && (c.Op == "sync" || c.Op == "syncdir") {
			syncs.Add(1)
			if strings.Contains(c.Name, "journal") {
				return fsys.ErrIO
			}
		}
		return nil
	}}, 64<<10)
	end := f.End()
	other, err := Open(Options{FS: f.fs, Dir: "/data/t-1", Committer: f.c, Owner: &idle{}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	fail.Store(true)
	b := values(1000, record.Options{}, "x")
	info, _ := record.ParseHeader(b)
	f.Lock()
	_, err = f.Append(b, &info, 1, Coordinator)
	f.Unlock()
	f.Write(true)
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(l *Log) bool { l.Lock(); defer l.Unlock(); return l.Refuses() != nil }
	waitFor(t, func() bool { return refuses(other) && refuses(f.Log) })
	var kafka *record.Error
	if failed := f.opts.Owner.(*idle).failed; !errors.As(failed, &kafka) || kafka.Code != record.CodeStorageError || f.c.Failed() == nil {
		t.Fatal("the append was not failed as it should be:", failed)
	}
	f.Lock()
	settled := f.Settled()
	f.Unlock()
	if settled != end {
		t.Fatalf("acknowledged up to %d without a sync, the log ended at %d", settled, end)
	}
	if b, next, err := f.Read(ReadRequest{Limit: end, MaxBytes: 1 << 20}); err != nil || next != end || len(b) == 0 {
		t.Fatal("reads do not go on:", next, err)
	}
	// Neither upkeep nor retention touch the disk any more.
	syncs.Store(0)
	if err := errors.Join(f.SetStart(1), f.Clean()); err == nil {
		t.Fatal("the log start was raised in a data directory that is read-only")
	}
	if _, err := f.Truncate(0); err == nil {
		t.Fatal("truncated")
	}
	if n := syncs.Load(); n != 0 {
		t.Fatalf("%d syncs after the failed one", n)
	}
	late, err := Open(Options{FS: f.fs, Dir: "/data/t-2", Committer: f.c, Owner: &idle{}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if !refuses(late) {
		t.Fatal("a log opened later takes writes")
	}
}

// TestFailedVoidMakesReadOnly: so does one that a truncation makes, at once.
func TestFailedVoidMakesReadOnly(t *testing.T) {
	var fail atomic.Bool
	f := journaled(t, &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if fail.Load() && c.Op == "sync" && strings.Contains(c.Name, "journal") {
			return fsys.ErrIO
		}
		return nil
	}}, 64<<10)
	fail.Store(true)
	if _, err := f.Truncate(1); !errors.Is(err, fsys.ErrIO) {
		t.Fatal(err)
	}
	f.Lock()
	defer f.Unlock()
	if f.c.Failed() == nil || f.Refuses() == nil || f.Stopped() != nil || f.End() != 3 {
		t.Fatalf("the data directory is not read-only (%v), or the log lost something: %v, %v, end %d", f.c.Failed(), f.Refuses(), f.Stopped(), f.End())
	}
}

// TestNamesThatAreLostMakeReadOnly: the names of the journal's files lie beside others, so
// where they cannot be synced nothing is written any more, and no sync tells otherwise.
// Where a file of the journal cannot be, nothing is lost, and it goes on without.
func TestNamesThatAreLostMakeReadOnly(t *testing.T) {
	for _, tt := range []struct {
		name, fails, cannot string // what fails, and what does so before
		readOnly            bool
	}{
		{"the new names", "syncdir /data", "", true},
		{"the removed names", "syncdir /data", "sync /data/journal.1", true},
		{"a file", "sync /data/journal.1", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var begun atomic.Bool
			var syncs atomic.Int64
			f := &fixture{TB: t, mark: 1 << 20, journal: 64 << 10, fs: &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
				call := c.Op + " " + c.Name
				if call == "create /data/journal.0" {
					begun.Store(true)
				}
				if !begun.Load() || call != tt.fails && call != tt.cannot {
					return nil
				}
				if call == tt.fails {
					syncs.Add(1)
				}
				return fsys.ErrIO
			}}}
			f.open()
			defer f.close()
			waitFor(t, func() bool { // it is made after some rounds
				b := values(1000, record.Options{}, "x")
				info, err := record.ParseHeader(b)
				if err != nil {
					t.Fatal(err)
				}
				f.Lock()
				_, _ = f.Append(b, &info, 1, Coordinator) // refused once it is read-only
				f.Unlock()
				_ = f.Sync()
				return syncs.Load() > 0
			})
			f.close()
			if n := syncs.Load(); n != 1 {
				t.Errorf("synced %d times", n)
			}
			if failed := f.c.Failed(); (failed != nil) != tt.readOnly {
				t.Errorf("read-only: %v", failed)
			}
		})
	}
}

// FuzzJournal parses anything.
func FuzzJournal(f *testing.F) {
	mem := fsys.NewMem()
	x := journaled(f, mem, 64<<10)
	x.add(values(1000, record.Options{}, "x"), 1)
	b, _ := readFile(mem, "/data/journal.0")
	f.Add(b[:4096])
	f.Add(append(beginRecord(nil), entryReset))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, _ := parseJournal(b)
		for _, r := range records {
			for _, e := range r.entries {
				if len(e.data) > len(b) {
					t.Fatal("data from nowhere")
				}
			}
		}
		if len(b) > journalHeader {
			parseEntries(bytes.Clone(b[journalHeader:]))
		}
	})
}
