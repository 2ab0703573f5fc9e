package commitlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// noChange fails the test at a call that would change something.
func noChange(t testing.TB, fs fsys.FS) fsys.FS {
	return &fsys.Faulty{FS: fs, Hook: func(c fsys.Call) error {
		if c.Mutates() {
			t.Errorf("an inspection calls %s %s", c.Op, c.Name)
		}
		return nil
	}}
}

func inspect(t testing.TB, fs fsys.FS) Inspection {
	t.Helper()
	j, err := ReadJournal(noChange(t, fs), "/data")
	if err != nil {
		t.Fatal(err)
	}
	i, err := Inspect(noChange(t, fs), "/data/t-0", &j)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// readable returns the base offsets and bytes of all batches in a log.
func readable(t testing.TB, l *Log) map[int64]string {
	t.Helper()
	out := map[int64]string{}
	for next := l.Start(); next < l.End(); {
		b, to, err := l.Read(ReadRequest{Offset: next, Limit: l.End(), MaxBytes: 1, MinOne: true})
		if err != nil || to <= next {
			t.Fatalf("read at %d: %v", next, err)
		}
		info, _ := record.ParseHeader(b)
		out[info.BaseOffset] = string(b)
		next = to
	}
	return out
}

// finishUpkeep waits until the checkpoint at the newest mark is made.
func (f *fixture) finishUpkeep() {
	f.Helper()
	waitFor(f.TB, func() bool { f.Lock(); defer f.Unlock(); return len(f.marks) == 0 })
	f.upkeep.Lock() // who took the marks holds it until the checkpoint is made
	defer f.upkeep.Unlock()
}

// TestInspectMissesTheActiveSegment: its file is gone, and the checkpoint was made when
// nothing was in it.
func TestInspectMissesTheActiveSegment(t *testing.T) {
	mem := fsys.NewMem()
	f := &fixture{TB: t, fs: mem, mark: 1500, cfg: Config{SegmentBytes: 2000}, journal: -1}
	f.open()
	for i := range 20 {
		f.add(values(1000, record.Options{}, strings.Repeat("v", 20+i)), 1)
	}
	if err := f.rollNow(); err != nil {
		t.Fatal(err)
	}
	name := fileName("/data/t-0", f.End(), logSuffix)
	f.close()
	if err := mem.Remove(name); err != nil {
		t.Fatal(err)
	}
	f.refused(name, 0)
	if got := inspect(t, mem).Findings; len(got) != 1 || got[0].Severity != Damage || got[0].File != name {
		t.Fatalf("%+v", got)
	}
	if err := Repair(mem, "/data/t-0", quiet); err != nil {
		t.Fatal(err)
	}
	f.open()
	defer f.close()
	if f.End() != 20 || len(readable(t, f.Log)) != 20 {
		t.Errorf("after the repair it ends at %d", f.End())
	}
}

// TestInspectAgrees harms the files of a log at random. What a start refuses, an
// inspection calls damage; what it does not call damage, a start opens, with the end that
// it names; and after a repair every batch that was not touched is there, and the log
// goes on.
func TestInspectAgrees(t *testing.T) {
	for _, crashed := range []bool{false, true} {
		mem := fsys.NewMem()
		f := &fixture{TB: t, fs: mem, mark: 1500, cfg: Config{IndexInterval: 200, SegmentBytes: 2000}, journal: 64 << 10}
		f.open()
		for i := range 60 {
			f.add(values(1000+int64(i), record.Options{Idempotent: true, ProducerID: int64(i % 2), BaseSequence: int32(i / 2)}, strings.Repeat("v", 20+i)), int32(i/15))
			if i == 5 {
				waitFor(t, f.c.journal.isOpen)
			}
		}
		if err := f.SetStart(5); err != nil {
			t.Fatal(err)
		}
		f.finishUpkeep() // so that the files are the same each time
		want := readable(t, f.Log)
		var source *fsys.Mem
		if crashed {
			source = mem.Crash(1)
		}
		f.close()
		if !crashed {
			source = mem.Kill()
		}
		if i := inspect(t, source.Kill()); len(i.Findings) > 0 && !crashed || i.End != 60 || i.Start != 5 {
			t.Fatalf("crashed %t: %+v", crashed, i)
		}
		entries, _ := source.ReadDir("/data/t-0")
		refused, damaged := 0, 0
		for seed := range uint64(200) {
			rng := rand.New(rand.NewPCG(seed, 5))
			fs := source.Kill()
			e := entries[rng.IntN(len(entries))]
			if e.Name == identityFile || e.Size == 0 {
				continue
			}
			name := "/data/t-0/" + e.Name
			harm := []string{"flip", "zeros", "cut", "remove"}[rng.IntN(4)]
			at := rng.IntN(int(e.Size))
			if harm == "remove" {
				_ = fs.Remove(name)
			} else {
				edit(t, fs, name, func(b []byte) []byte {
					switch harm {
					case "flip":
						b[at] ^= 1 << rng.IntN(8)
					case "zeros":
						clear(b[at:min(len(b), at+512)])
					case "cut":
						b = b[:at]
					}
					return b
				})
			}
			what := fmt.Sprintf("crashed %t, seed %d, %s of %s at %d", crashed, seed, harm, e.Name, at)
			found := inspect(t, fs)
			worst, any := found.Worst()
			isDamage := any && worst == Damage

			try := &fixture{TB: t, fs: fs.Kill(), mark: 1500, cfg: f.cfg, journal: 64 << 10}
			err := try.tryOpen()
			var refusal *DamageError
			switch {
			case err != nil && !errors.As(err, &refusal):
				t.Fatalf("%s: %v", what, err)
			case err != nil && !isDamage:
				t.Fatalf("%s: a start refuses it, an inspection does not: %v, %+v", what, err, found.Findings)
			case err == nil && !isDamage && (try.End() != found.End || try.Start() != found.Start):
				t.Fatalf("%s: opened %d to %d, inspected %+v", what, try.Start(), try.End(), found)
			}
			if err == nil {
				try.close()
			} else {
				refused++
				_ = try.c.Close()
			}
			if !isDamage {
				continue
			}
			damaged++
			c, err := NewCommitter(CommitterConfig{FS: fs, Dir: "/data", JournalBytes: -1, CleanEvery: -1, Logger: quiet})
			if err == nil {
				err = errors.Join(c.Close(), Repair(fs, "/data/t-0", quiet))
			}
			if err != nil {
				t.Fatalf("%s: repair: %v", what, err)
			}
			if i := inspect(t, fs); len(i.Findings) > 0 {
				t.Fatalf("%s: after the repair %+v", what, i.Findings)
			}
			after := &fixture{TB: t, fs: fs, mark: 1500, cfg: f.cfg, journal: 64 << 10}
			after.open()
			got := readable(t, after.Log)
			lost := 0
			for base, b := range want {
				if base >= after.Start() && got[base] != b {
					lost++
				}
			}
			for base, b := range got {
				if want[base] != b {
					t.Fatalf("%s: after the repair the batch at %d is another", what, base)
				}
			}
			if limit := 8; harm == "flip" && lost > 1 || harm == "zeros" && lost > limit || harm == "remove" && lost > 2*limit+10 {
				t.Fatalf("%s: the repair lost %d batches", what, lost)
			}
			end := after.End()
			if base := after.add(values(1, record.Options{}, "x"), 9); base != end {
				t.Fatal(base, end)
			}
			after.close()
		}
		if refused < 3 || damaged < refused {
			t.Errorf("crashed %t: %d of 200 were refused, %d damaged", crashed, refused, damaged)
		}
		t.Logf("crashed %t: %d refused, %d damaged", crashed, refused, damaged)
	}
}
