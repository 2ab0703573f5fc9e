package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// edit changes a file behind a log's back.
func edit(t testing.TB, fs fsys.FS, name string, change func(b []byte) []byte) {
	t.Helper()
	b, err := readFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(change(b), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// flip flips a bit in the middle of the n-th batch of a segment.
func flip(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		pos := 0
		for range n {
			pos += record.SizeOf(b[pos:])
		}
		b[pos+record.HeaderSize+2] ^= 0x10
		return b
	}
}

const segment0 = "/data/t-0/00000000000000000000.log"

// refused opens the log and wants it to be refused, with nothing changed.
func (f *fixture) refused(file string, pos int64) {
	f.Helper()
	before, _ := readFile(f.fs, segment0)
	err := f.tryOpen()
	var damage *DamageError
	if !errors.As(err, &damage) || damage.File != file || damage.Pos != pos {
		f.Fatalf("opened a log that is damaged in %s at %d: %v", file, pos, err)
	}
	if !strings.Contains(err.Error(), "broker repair "+file) {
		f.Fatalf("the error does not name the command that repairs it: %v", err)
	}
	if after, _ := readFile(f.fs, segment0); !bytes.Equal(before, after) {
		f.Fatal("what is refused was changed")
	}
	if f.c != nil {
		_ = f.c.Close()
	}
}

// TestDamageAboveTheCheckpoint flips a bit in a batch that was acknowledged, where only
// the journal, or what lies behind, says so: it is refused and not cut off.
func TestDamageAboveTheCheckpoint(t *testing.T) {
	batch := func(i int) []byte { return values(1000, record.Options{}, fmt.Sprint("value ", i)) }
	size := int64(len(batch(0)))
	t.Run("data in the journal", func(t *testing.T) {
		mem := fsys.NewMem()
		f := journaled(t, mem, 64<<10)
		warm := int64(len(f.file("00000000000000000000.log")))
		for i := range 10 {
			f.add(batch(i), 1)
		}
		left := &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20, journal: 64 << 10}
		// The journal has the batches, and repairs the segment by itself.
		edit(t, left.fs, segment0, flip(5))
		left.open()
		if left.End() != f.End() {
			t.Fatal(left.End())
		}
		left.close()
		// But not what it does not have.
		left = &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20, journal: 64 << 10}
		edit(t, left.fs, segment0, flip(1))
		left.refused(segment0, warm/3)
	})
	t.Run("mark in the journal", func(t *testing.T) {
		mem := fsys.NewMem()
		f := journaled(t, mem, 64<<10)
		first := int64(len(f.file("00000000000000000000.log")))
		large := strings.Repeat("x", journalRound+1)
		waitFor(t, func() bool {
			// Past the journal, which marks it, unless it marked another just before.
			f.add(values(1000, record.Options{}, large), 1)
			j, err := ReadJournal(mem.Kill(), "/data")
			if err != nil {
				t.Fatal(err)
			}
			for _, entries := range j.live {
				if e := entries[len(entries)-1]; e.kind == entryMark && e.pos > journalRound {
					return true
				}
			}
			return false
		})
		left := &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20, journal: 64 << 10}
		edit(t, left.fs, segment0, flip(3))
		left.refused(segment0, first)
		left = &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20, journal: 64 << 10}
		edit(t, left.fs, segment0, func(b []byte) []byte { return b[:first] })
		left.refused(segment0, first)
	})
	t.Run("epochs", func(t *testing.T) {
		mem := fsys.NewMem()
		f := &fixture{TB: t, fs: mem, mark: 1 << 20}
		f.open()
		defer f.close()
		for i := range 9 {
			f.add(batch(i), int32(i/3)) // as if it had been started three times
		}
		left := &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20}
		edit(t, left.fs, segment0, flip(1))
		left.refused(segment0, size)
		// In the last epoch it can be a torn tail.
		left = &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20}
		edit(t, left.fs, segment0, flip(7))
		left.open()
		if left.End() != 7 {
			t.Fatal(left.End())
		}
		left.close()
	})
	t.Run("another segment", func(t *testing.T) {
		mem := fsys.NewMem()
		f := &fixture{TB: t, mark: 1 << 20, cfg: Config{SegmentBytes: 5 * size}, fs: &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			if c.Op == "create" && strings.HasSuffix(c.Name, producersSuffix+tmpSuffix) {
				return fsys.ErrIO // so there is no checkpoint
			}
			return nil
		}}}
		f.open()
		defer f.close()
		for i := range 7 {
			f.add(batch(i), 1)
		}
		left := &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20}
		edit(t, left.fs, segment0, flip(3))
		left.refused(segment0, 3*size)
	})
}

// TestCheckpointIsBuiltAgain: one damaged copy is no loss; with both the log is read as
// a whole, and goes on.
func TestCheckpointIsBuiltAgain(t *testing.T) {
	build := func(cfg Config) *fixture {
		f := newFixture(t, cfg)
		for i := range 40 {
			f.add(values(1000+int64(i), record.Options{Idempotent: true, ProducerID: 3, BaseSequence: int32(i)}, strings.Repeat("v", 50)), int32(i/10))
		}
		if err := f.SetStart(13); err != nil {
			t.Fatal(err)
		}
		f.close()
		return f
	}
	const name = "/data/t-0/" + checkpointFile
	for harm, tt := range map[string]struct {
		change func(b []byte) []byte
		start  int64
	}{
		"first copy":  {func(b []byte) []byte { copy(b, make([]byte, 512)); return b }, 13},
		"second copy": {func(b []byte) []byte { return b[:checkpointCopy] }, 13},
		"both":        {func(b []byte) []byte { b[20] ^= 1; b[checkpointCopy+20] ^= 1; return b }, -1},
		"nothing":     {func(b []byte) []byte { return nil }, -1},
	} {
		t.Run(harm, func(t *testing.T) {
			f := build(Config{IndexInterval: 200, SegmentBytes: 1500})
			edit(t, f.fs, name, tt.change)
			f.open()
			f.Lock()
			start, first, end, seq := f.start, f.segs[0].base, f.end, f.producers.byID[3].lastSeq()
			f.Unlock()
			if tt.start < 0 {
				tt.start = max(first, start) // the segment it lies in is known
				if start < first || start > 13 {
					t.Errorf("start %d, segment %d", start, first)
				}
			}
			if start != tt.start || end != 40 || seq != 39 {
				t.Fatalf("start %d, want %d; end %d, sequence %d", start, tt.start, end, seq)
			}
			f.close()
			f.open() // from a checkpoint again
			if f.Start() != start || f.End() != 40 || f.unmarked {
				t.Fatal(f.Start(), f.End(), f.unmarked)
			}
		})
	}
	// Damage can then not be told from a torn tail, so any whole batch behind counts.
	f := build(Config{})
	edit(t, f.fs, name, func([]byte) []byte { return nil })
	edit(t, f.fs, segment0, flip(35))
	size := int64(len(f.file("00000000000000000000.log")) / 40)
	f.refused(segment0, 35*size)
}

// TestDamagedJournal: a record that is not whole with a whole one behind it was durable;
// at the end it is a torn one.
func TestDamagedJournal(t *testing.T) {
	mem := fsys.NewMem()
	f := journaled(t, mem, 64<<10)
	for i := range 10 {
		f.add(values(1000, record.Options{}, fmt.Sprint("v", i)), 1)
	}
	b, _ := readFile(mem, "/data/journal.0")
	records, holes := parseJournal(b)
	if len(records) < 5 || len(holes) > 0 {
		t.Fatal(len(records), holes)
	}
	for i, r := range records {
		left := &fixture{TB: t, fs: mem.Kill(), mark: 1 << 20, journal: 64 << 10}
		edit(t, left.fs, "/data/journal.0", func(b []byte) []byte { b[r.at+journalHeader] ^= 1; return b })
		if i == len(records)-1 {
			left.open()
			left.close()
			continue
		}
		left.refused("/data/journal.0", r.at)
	}
}
