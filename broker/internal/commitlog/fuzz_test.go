package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// closedLog is a file system with a log of several segments that was closed, and the
// batches in it.
func closedLog(t testing.TB) (*fsys.Mem, [][]byte) {
	mem := fsys.NewMem()
	f := &fixture{TB: t, fs: mem, mark: 700, cfg: Config{SegmentBytes: 900, IndexInterval: 150}}
	f.open()
	for i := range 12 {
		f.add(values(1000+int64(i), record.Options{Idempotent: true, Transactional: true, ProducerID: 4, BaseSequence: int32(i)}, strings.Repeat("x", 90)), 1+int32(i/5))
		if i%3 == 2 {
			f.add(record.EndTxn(4, 0, record.Marker{Commit: i%2 == 0}, 2000), 1+int32(i/5))
		}
	}
	f.close()
	f.open()
	batches := readBatches(f)
	f.close()
	return mem, batches
}

func readBatches(f *fixture) (out [][]byte) {
	f.Helper()
	f.Lock()
	next, end := f.Start(), f.End()
	f.Unlock()
	for next < end {
		b, to, err := f.Read(ReadRequest{Offset: next, Limit: end, MaxBytes: 1 << 20, MinOne: true})
		if err != nil || to <= next {
			f.Fatalf("at %d: next %d, %v", next, to, err)
		}
		record.Each(b, func(b []byte) bool { out = append(out, bytes.Clone(b)); return true })
		next = to
	}
	return out
}

// signed returns data with the checksum that a file of the name carries, so that the
// fuzzer gets past it.
func signed(name string, data []byte) []byte {
	switch {
	case strings.HasSuffix(name, producersSuffix) && len(data) > 6:
		data = bytes.Clone(data)
		be := crc32.Checksum(data[6:], castagnoli)
		data[2], data[3], data[4], data[5] = byte(be>>24), byte(be>>16), byte(be>>8), byte(be)
	case name == checkpointFile:
		body, _, _ := bytes.Cut(data, []byte("crc32c "))
		data = fmt.Appendf(bytes.Clone(body), "crc32c %08x\n", crc32.Checksum(body, castagnoli))
	}
	return data
}

// FuzzDerived puts anything in the place of one file beside the segments. A derived
// file is used or built again: the log opens with every batch in its place. What says
// where the log begins and how far it was synced may make it refuse, by name.
func FuzzDerived(f *testing.F) {
	mem, batches := closedLog(f)
	entries, err := mem.ReadDir("/data/t-0")
	if err != nil {
		f.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name, logSuffix) {
			continue
		}
		names = append(names, e.Name)
		b, err := readFile(mem, filepath.Join("/data/t-0", e.Name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(len(names)-1), b, false)
		f.Add(byte(len(names)-1), b[:len(b)/2], true)
		f.Add(byte(len(names)-1), append(bytes.Repeat([]byte{0xff}, 24), b...), true)
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte, sign bool) {
		name := names[int(which)%len(names)]
		if sign {
			data = signed(name, data)
		}
		fs := mem.Kill()
		file, err := fs.Create(filepath.Join("/data/t-0", name))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.WriteAt(data, 0)
		_ = file.Close()
		x := &fixture{TB: t, fs: fs, mark: 700, cfg: Config{SegmentBytes: 900, IndexInterval: 150}}
		truth := name == checkpointFile || name == identityFile
		alloc.Within(t, len(data), func() { err = x.tryOpen() })
		if err != nil {
			var damage *DamageError
			if !truth || name == checkpointFile && !errors.As(err, &damage) {
				t.Fatalf("%s: %v", name, err)
			}
			_ = x.c.Close()
			return
		}
		defer x.close()
		got := readBatches(x)
		if name == checkpointFile { // it may say that the log begins later
			got = slices.Concat(batches[:max(0, len(batches)-len(got))], got)
		}
		if len(got) != len(batches) {
			t.Fatalf("%s: %d batches, %d were written", name, len(got), len(batches))
		}
		for i := range got {
			if !bytes.Equal(got[i], batches[i]) {
				t.Fatalf("%s: batch %d is another one", name, i)
			}
		}
		if base := x.add(values(1, record.Options{}, "more"), 1<<30); base < int64(len(batches)) {
			t.Fatalf("%s: the next offset is %d", name, base)
		}
	})
}

// FuzzJournalFile opens a data directory whose journal is anything. It opens, or is
// refused by name; the log has at least what was synced in it.
func FuzzJournalFile(f *testing.F) {
	mem := fsys.NewMem()
	x := journaled(f, mem, 64<<10)
	x.add(values(1000, record.Options{}, "x"), 1)
	b, err := readFile(mem, "/data/journal.0")
	if err != nil {
		f.Fatal(err)
	}
	end := x.End()
	left := mem.Kill()
	f.Add(b[:4096], false)
	f.Add(b[:700], true)
	f.Add(append(beginRecord(nil), entryReset), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		if sign { // let the fuzzer past the first record's checksum
			data = bytes.Clone(data)
			if len(data) > journalHeader {
				if n := int(uint32(data[24])<<24 | uint32(data[25])<<16 | uint32(data[26])<<8 | uint32(data[27])); n >= 0 && n <= len(data)-journalHeader {
					c := crc32.Checksum(data[8:journalHeader+n], castagnoli)
					data[4], data[5], data[6], data[7] = byte(c>>24), byte(c>>16), byte(c>>8), byte(c)
				}
			}
		}
		fs := left.Kill()
		file, err := fs.Create("/data/journal.0")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.WriteAt(data, 0)
		_ = file.Close()
		y := &fixture{TB: t, fs: fs, mark: 1 << 20, journal: 64 << 10, id: x.id}
		alloc.Within(t, len(data), func() { err = y.tryOpen() })
		if err != nil {
			var damage *DamageError
			if !errors.As(err, &damage) {
				t.Fatal(err)
			}
			if y.c != nil {
				_ = y.c.Close()
			}
			return
		}
		defer y.close()
		if y.End() < end-4 {
			t.Fatalf("the log ends at %d, %d was synced", y.End(), end)
		}
		readBatches(y)
	})
}
