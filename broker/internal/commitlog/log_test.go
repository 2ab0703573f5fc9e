package commitlog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// idle is an owner that only notes failures.
type idle struct{ failed error }

func (*idle) Advanced()                   {}
func (o *idle) Failed(_ int64, err error) { o.failed = err }

type fixture struct {
	testing.TB
	fs      fsys.FS
	cfg     Config
	mark    int64
	journal int64         // size of the commit journal; 0 = none
	scrub   time.Duration // between two readings of a segment; 0 = never
	logger  *slog.Logger  // of the log; nil = none
	id      [16]byte
	c       *Committer
	*Log
}

func (f *fixture) open() {
	f.Helper()
	if err := f.tryOpen(); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) tryOpen() (err error) {
	if f.id == [16]byte{} {
		f.id[0] = 1
	}
	if f.journal == 0 {
		f.journal = -1
	}
	rate := int64(-1)
	if f.scrub > 0 {
		rate = 1 << 40
	}
	f.c, err = NewCommitter(CommitterConfig{ScrubRate: rate, ScrubEvery: f.scrub, FS: f.fs, Dir: "/data", MarkBytes: f.mark, JournalBytes: f.journal, JournalAfter: 2, Logger: quiet})
	if err != nil {
		return err
	}
	f.Log, err = Open(Options{FS: f.fs, Dir: "/data/t-0", ID: f.id, Config: f.cfg, Committer: f.c, Owner: &idle{}, Logger: cmp.Or(f.logger, quiet)})
	return err
}

func (f *fixture) close() {
	if f.Log != nil {
		_ = f.Log.Close()
		f.Log = nil
	}
	_ = f.c.Close()
}

func newFixture(t testing.TB, cfg Config) *fixture {
	f := &fixture{TB: t, fs: fsys.NewMem(), cfg: cfg, mark: 3000}
	f.open()
	t.Cleanup(f.close)
	return f
}

// add appends a batch and waits until it is durable.
func (f *fixture) add(b []byte, epoch int32) int64 {
	f.Helper()
	info, err := record.ParseHeader(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Lock()
	got, err := f.Append(b, &info, epoch, Coordinator)
	f.Unlock()
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Fatal(err)
	}
	return got.Base
}

func values(ts int64, o record.Options, vs ...string) []byte {
	b := record.NewBuilder(o)
	for i, v := range vs {
		b.Add(record.Record{Timestamp: ts + int64(i), Key: []byte("k"), Value: []byte(v)})
	}
	return b.Batch()
}

func (f *fixture) file(name string) []byte {
	f.Helper()
	b, err := readFile(f.fs, filepath.Join("/data/t-0", name))
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// TestGoldenFiles pins the bytes on disk. The log is checked in full: its fields are
// laid out by hand below, as Kafka's DumpLogSegments would print them.
func TestGoldenFiles(t *testing.T) {
	f := newFixture(t, Config{IndexInterval: 100})
	f.add(values(1000, record.Options{}, "a", "b"), 4)
	f.add(values(900, record.Options{Idempotent: true, Transactional: true, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 3}, strings.Repeat("x", 60)), 4)
	f.add(record.EndTxn(7, 1, record.Marker{CoordinatorEpoch: 2}, 2000), 5)
	f.add(values(1500, record.Options{}, "c"), 5)
	f.close()
	const log = "" +
		"0000000000000000" + "00000041" + "00000004" + "02" + "%x" + "0000" + "00000001" + "00000000000003e8" + "00000000000003e9" + "ffffffffffffffff" + "ffff" + "ffffffff" + "00000002" +
		"10" + "00" + "00" + "00" + "02" + "6b" + "02" + "61" + "00" +
		"10" + "00" + "02" + "02" + "02" + "6b" + "02" + "62" + "00"
	got := f.file("00000000000000000000.log")
	first := fmt.Sprintf(strings.Replace(log, "00000041", fmt.Sprintf("%08x", 49+18), 1), got[17:21])
	if h := hex.EncodeToString(got[:61+18]); h != first {
		t.Errorf("first batch\n%s, want\n%s", h, first)
	}
	if !record.CheckCRC(got[:61+18]) {
		t.Error("CRC of the first batch")
	}
	for name, want := range map[string]string{
		// The second batch at 79 ends the first 100 bytes; the marker at 209 is the first
		// to find more than 100 bytes since an entry.
		"00000000000000000000.index":     "00000003" + "000000d1",
		"00000000000000000000.timeindex": "00000000000007d0" + "00000003",
		"00000000000000000000.txnindex":  "0000" + "0000000000000007" + "0000000000000002" + "0000000000000003" + "0000000000000004",
		"leader-epoch-checkpoint":        hex.EncodeToString([]byte("0\n2\n4 0\n5 3\n")),
		"partition.metadata":             hex.EncodeToString([]byte("version: 0\ntopic_id: AQAAAAAAAAAAAAAAAAAAAA\n")),
	} {
		if got := hex.EncodeToString(f.file(name)); got != want {
			t.Errorf("%s\n%s, want\n%s", name, got, want)
		}
	}
	sum := sha256.Sum256(got)
	if h := hex.EncodeToString(sum[:8]); h != "4325cf75f47edf2b" {
		t.Errorf("log of %d bytes has hash %s", len(got), h)
	}
	f.open()
}

// TestIndexesAgainstScan compares lookups with a scan of everything, before and
// after a restart.
func TestIndexesAgainstScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f := newFixture(t, Config{IndexInterval: 200, SegmentBytes: 3000})
	for range 150 {
		n := rng.IntN(4) + 1
		vs := make([]string, n)
		for i := range vs {
			vs[i] = strings.Repeat("v", rng.IntN(100))
		}
		f.add(values(1000+rng.Int64N(500), record.Options{}, vs...), 1)
	}
	check := func() {
		t.Helper()
		var all []record.Info
		for next := int64(0); next < f.End(); {
			b, to, err := f.Read(ReadRequest{Offset: next, Limit: f.End(), MaxBytes: 1, MinOne: true})
			if err != nil {
				t.Fatal(err)
			}
			info, _ := record.ParseHeader(b)
			all, next = append(all, info), to
		}
		for off := range f.End() {
			f.Lock()
			v := f.segs[f.segmentOf(off)].view()
			f.Unlock()
			_, info, ok, err := v.find(off)
			v.release()
			i := slices.IndexFunc(all, func(i record.Info) bool { return i.LastOffset() >= off })
			if err != nil || !ok || info.BaseOffset != all[i].BaseOffset {
				t.Fatalf("offset %d: found %d, want %d (%v)", off, info.BaseOffset, all[i].BaseOffset, err)
			}
		}
		for limit := int64(1); limit <= f.End(); limit += 7 {
			best := int64(-1)
			for _, i := range all {
				if i.BaseOffset < limit {
					best = max(best, i.MaxTimestamp)
				}
			}
			// A limit is always where a batch begins.
			i := slices.IndexFunc(all, func(i record.Info) bool { return i.BaseOffset >= limit })
			if i < 0 {
				break
			}
			got, ok, err := f.MaxTimestamp(all[i].BaseOffset)
			if err != nil || !ok || got.Timestamp != best {
				t.Fatalf("largest timestamp below %d: %+v, want %d (%v)", all[i].BaseOffset, got, best, err)
			}
		}
	}
	check()
	f.close()
	f.open()
	check()
}

// TestDerivedFilesAreBuiltAgain removes or damages each derived file in turn.
func TestDerivedFilesAreBuiltAgain(t *testing.T) {
	f := newFixture(t, Config{IndexInterval: 200, SegmentBytes: 1500})
	for i := range 40 {
		o := record.Options{Idempotent: true, ProducerID: int64(i % 3), BaseSequence: int32(i / 3), Transactional: i%3 == 2}
		f.add(values(1000+int64(i), o, strings.Repeat("v", 50)), int32(i/10))
		if i%9 == 8 {
			f.add(record.EndTxn(2, 0, record.Marker{Commit: i%2 == 0}, 5), int32(i/10))
		}
	}
	describe := func() string {
		f.Lock()
		defer f.Unlock()
		var txns []AbortedTxn
		for _, s := range f.segs {
			txns = append(txns, s.txns...)
		}
		return fmt.Sprint(f.start, f.end, f.epochs, f.producers.infos(), f.producers.open, txns, len(f.segs))
	}
	want := describe()
	f.close()
	entries, _ := f.fs.ReadDir("/data/t-0")
	for _, e := range entries {
		if strings.HasSuffix(e.Name, logSuffix) || e.Name == checkpointFile || e.Name == identityFile {
			continue
		}
		name := filepath.Join("/data/t-0", e.Name)
		before, _ := readFile(f.fs, name)
		for _, harm := range []string{"remove", "truncate", "garbage"} {
			if strings.HasSuffix(name, txnIndexSuffix) && harm != "truncate" {
				continue // none at all is what most segments have
			}
			if e.Name == epochFile && harm == "remove" {
				continue // so is none
			}
			if harm == "remove" {
				_ = f.fs.Remove(name)
			} else {
				g, _ := f.fs.Create(name)
				if harm == "truncate" {
					_, _ = g.WriteAt(before[:len(before)-1], 0)
				} else {
					_, _ = g.WriteAt(bytes.Repeat([]byte{0xa5}, len(before)), 0)
				}
				_ = g.Close()
			}
			f.open()
			if got := describe(); got != want {
				t.Fatalf("%s, %s:\n%s\n%s", e.Name, harm, got, want)
			}
			f.close()
		}
	}
	f.open()
}

// TestTruncate cuts a log back to every offset and compares with one that never
// went further.
func TestTruncate(t *testing.T) {
	build := func(f *fixture, upTo int) {
		for i := range upTo {
			o := record.Options{Idempotent: true, Transactional: true, ProducerID: int64(i % 2), BaseSequence: int32(i / 2 * 2)}
			if i%7 == 6 {
				f.add(record.EndTxn(int64(i%2), 0, record.Marker{}, 2000), int32(i/4))
				continue
			}
			f.add(values(1000+int64(i*37%50), o, "a", strings.Repeat("v", 80)), int32(i/4))
		}
	}
	describe := func(f *fixture) string {
		f.Lock()
		defer f.Unlock()
		var s strings.Builder
		for _, g := range f.segs {
			if g.size == 0 {
				continue // a log cut back may have begun a segment, where the other has not yet
			}
			fmt.Fprintln(&s, g.base, g.size, g.next, g.maxTimestamp, g.txns)
		}
		fmt.Fprintln(&s, f.start, f.durable, f.written, f.end, f.epochs, f.producers.infos(), f.producers.open)
		return s.String()
	}
	cfg := Config{IndexInterval: 200, SegmentBytes: 1000}
	for n := range 30 {
		want := newFixture(t, cfg)
		build(want, n)
		f := newFixture(t, cfg)
		build(f, 30)
		end, err := f.Truncate(want.End())
		if err != nil || end != want.End() {
			t.Fatal(end, err)
		}
		if got := describe(f); got != describe(want) {
			t.Fatalf("cut to %d:\n%swant\n%s", end, got, describe(want))
		}
		f.close()
		f.open()
		if got := describe(f); got != describe(want) {
			t.Fatalf("cut to %d and opened again:\n%swant\n%s", end, got, describe(want))
		}
		if base := f.add(values(1, record.Options{}, "x"), 9); base != end {
			t.Fatal(base, end)
		}
		f.close()
		want.close()
	}
}

func TestRollByAgeAndOffsets(t *testing.T) {
	f := newFixture(t, Config{SegmentAge: time.Second})
	f.add(values(1000, record.Options{}, "a"), 1)
	f.add(values(1900, record.Options{}, "a"), 1)
	f.add(values(2500, record.Options{}, "a"), 1)
	f.Lock() // upkeep goes on in the background
	defer f.Unlock()
	if n := len(f.segs); n != 2 || f.segs[1].base != 2 {
		t.Fatal(n)
	}
}

// TestReaderOutlivesTheSegment: a slice stays readable after its segment is removed.
func TestReaderOutlivesTheSegment(t *testing.T) {
	f := newFixture(t, Config{SegmentBytes: 200})
	for range 10 {
		f.add(values(1000, record.Options{}, strings.Repeat("v", 100)), 1)
	}
	s, err := f.Slice(ReadRequest{Offset: 0, Limit: 10, MaxBytes: 1000})
	if err != nil || s.Len == 0 {
		t.Fatal(s, err)
	}
	if err := f.SetStart(9); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { f.Lock(); defer f.Unlock(); return f.segs[0].base > 0 || !upkeepDue(f.Log) })
	b := make([]byte, s.Len)
	if _, err := s.File.ReadAt(b, s.Pos); err != nil || !record.CheckCRC(b) {
		t.Fatal(err)
	}
	s.Release()
}

// TestReadAcrossACompaction: where a reader has found a batch in a segment that is
// compacted meanwhile, nothing looks for it in the new one.
func TestReadAcrossACompaction(t *testing.T) {
	f := newFixture(t, Config{SegmentBytes: 500})
	one := func(key string) {
		b := record.NewBuilder(record.Options{})
		b.Add(record.Record{Timestamp: 1000, Key: []byte(key), Value: []byte(strings.Repeat("v", 60))})
		f.add(b.Batch(), 1)
	}
	for _, key := range []string{"a", "a", "b", "a", "c", "d", "e", "f", "g"} {
		one(key)
	}
	waitFor(t, f.Sealed)
	v, pos, _, ok, err := f.locate(0)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	f.Lock()
	f.SetConfig(Config{Compact: true, SegmentBytes: 500, DirtyRatio: 0.01})
	f.Unlock()
	if err := f.Compact(); err != nil {
		t.Fatal(err)
	}
	_, next, err := f.readAt(&v, pos, &ReadRequest{Limit: 2, MaxBytes: 1000})
	v.release()
	if next != 2 || err != nil {
		t.Fatal(next, err)
	}
	b, _, err := f.Read(ReadRequest{Offset: next, Limit: f.End(), MaxBytes: 1 << 20, MinOne: true})
	info, perr := record.ParseHeader(b)
	if err != nil || perr != nil || info.BaseOffset != 2 {
		t.Fatalf("at offset 2: batch %+v, %v, %v", info, err, perr)
	}
}

func upkeepDue(l *Log) bool { return len(l.marks) > 0 }

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within two minutes")
		}
	}
}

// FuzzRecovery opens a log whose active segment holds anything. It must open to
// whole batches in order, take appends, and open again to the same.
func FuzzRecovery(f *testing.F) {
	good := values(1000, record.Options{}, "a", "b")
	second := values(1000, record.Options{Idempotent: true, Transactional: true, ProducerID: 4}, "c")
	record.Stamp(second, 2, 0)
	marker := record.EndTxn(4, 0, record.Marker{}, 1)
	record.Stamp(marker, 3, 1)
	f.Add(good, byte(0))
	f.Add(slices.Concat(good, second, marker), byte(0))
	f.Add(slices.Concat(good, second[:70]), byte(0))
	f.Add(slices.Concat(good, make([]byte, 200)), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, sign byte) {
		if sign > 0 { // let the fuzzer past the CRCs
			record.Each(data, func(b []byte) bool {
				if len(b) >= record.HeaderSize {
					record.StampMaxTimestamp(b, int64(sign))
				}
				return true
			})
		}
		fs := fsys.NewMem()
		_ = fs.MkdirAll("/data/t-0")
		file, _ := fs.Create("/data/t-0/00000000000000000000.log")
		_, _ = file.WriteAt(data, 0)
		_ = file.Close()
		x := &fixture{TB: t, fs: fs, mark: 3000}
		if err := x.tryOpen(); err != nil {
			// Batches of several epochs behind what is none: not a torn tail.
			var damage *DamageError
			left, _ := readFile(fs, "/data/t-0/00000000000000000000.log")
			if !errors.As(err, &damage) || !bytes.Equal(left, data) {
				t.Fatal(err)
			}
			x.close()
			return
		}
		end := x.End()
		for next := int64(0); next < end; {
			b, to, err := x.Read(ReadRequest{Offset: next, Limit: end, MaxBytes: 1 << 20, MinOne: true})
			if err != nil || to <= next {
				t.Fatal(next, to, err)
			}
			if n := record.Each(b, func(b []byte) bool { return record.CheckCRC(b) }); n != len(b) {
				t.Fatal("damaged batch at", next)
			}
			next = to
		}
		if base := x.add(values(1, record.Options{}, "x"), 1<<30); base != end {
			t.Fatal(base, end)
		}
		x.close()
		x.open()
		if x.End() != end+1 {
			t.Fatal(x.End(), end)
		}
		x.close()
	})
}
