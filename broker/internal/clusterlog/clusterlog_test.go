package clusterlog

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

func open(t *testing.T, fs fsys.FS) (*Log, []string) {
	t.Helper()
	l, records, err := Open(fs, "/data")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range records {
		out = append(out, string(r))
	}
	return l, out
}

func fresh(t *testing.T, records ...string) fsys.FS {
	t.Helper()
	fs := fsys.NewMem()
	if err := fs.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, fs)
	for _, r := range records {
		if err := l.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestAppendAndReplace(t *testing.T) {
	fs := fresh(t, "one", "two")
	l, got := open(t, fs)
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
		t.Fatal(diff)
	}
	if err := l.Replace([][]byte{[]byte("all")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("three"), []byte("four")); err != nil {
		t.Fatal(err)
	}
	if _, got = open(t, fs); cmp.Diff([]string{"all", "three", "four"}, got) != "" {
		t.Fatal(got)
	}
}

// shorten cuts the last n bytes off the log.
func shorten(t *testing.T, fs fsys.FS, n int64) {
	t.Helper()
	f, err := fs.Open(path.Join("/data", name))
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size - n); err != nil {
		t.Fatal(err)
	}
}

// TestTornTail: a record cut at any byte is dropped, those before it stay, and
// the log goes on.
func TestTornTail(t *testing.T) {
	for cutBytes := int64(len(mark)) + 1; cutBytes < int64(len(mark))+headerSize+4+3; cutBytes++ {
		fs := fresh(t, "one", "two")
		shorten(t, fs, cutBytes)
		l, got := open(t, fs)
		if diff := cmp.Diff([]string{"one"}, got); diff != "" {
			t.Fatal(diff)
		}
		if err := l.Append([]byte("again")); err != nil {
			t.Fatal(err)
		}
		if _, got = open(t, fs); cmp.Diff([]string{"one", "again"}, got) != "" {
			t.Fatalf("cut by %d: %q", cutBytes, got)
		}
	}
}

// TestTornMark: it carries nothing.
func TestTornMark(t *testing.T) {
	for cutBytes := int64(1); cutBytes <= int64(len(mark)); cutBytes++ {
		fs := fresh(t, "one", "two")
		shorten(t, fs, cutBytes)
		l, got := open(t, fs)
		if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
			t.Fatal(diff)
		}
		if err := l.Append([]byte("three")); err != nil {
			t.Fatal(err)
		}
		if _, got = open(t, fs); cmp.Diff([]string{"one", "two", "three"}, got) != "" {
			t.Fatalf("cut by %d: %q", cutBytes, got)
		}
	}
}

// TestDamage: a flipped byte below acknowledged records is refused by name.
func TestDamage(t *testing.T) {
	fs := fresh(t, "one", "two", "three")
	f, err := fs.Open(path.Join("/data", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{'X'}, int64(headerSize+4+3+len(mark)+headerSize+4)); err != nil {
		t.Fatal(err)
	}
	_, _, err = Open(fs, "/data")
	if err == nil || !strings.Contains(err.Error(), "broker repair /data/cluster.log") || !strings.Contains(err.Error(), "damaged at byte 27") {
		t.Fatalf("opened a damaged log: %v", err)
	}
}

// TestNameIsDurable: a process killed between making the file and making its name
// durable leaves that to the next one.
func TestNameIsDurable(t *testing.T) {
	mem := fsys.NewMem()
	if err := errors.Join(mem.MkdirAll("/data"), mem.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	f, err := mem.Create(path.Join("/data", name))
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	l, _ := open(t, mem)
	if err := l.Append([]byte("one")); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		if _, got := open(t, mem.Crash(seed)); len(got) != 1 {
			t.Fatalf("after a power cut: %q", got)
		}
	}
}

// TestDamageOfTheLastFrame: its mark says that it had been acknowledged.
func TestDamageOfTheLastFrame(t *testing.T) {
	fs := fresh(t, "one", "two")
	f, err := fs.Open(path.Join("/data", name))
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	if _, err := f.WriteAt([]byte{'X'}, size-int64(len(mark))-1); err != nil {
		t.Fatal(err)
	}
	if _, _, err = Open(fs, "/data"); err == nil || !strings.Contains(err.Error(), "is damaged at byte 27") {
		t.Fatalf("opened a damaged log: %v", err)
	}
	if err := Repair(fs, "/data"); err != nil {
		t.Fatal(err)
	}
	if _, got := open(t, fs); cmp.Diff([]string{"one"}, got) != "" {
		t.Fatal(got)
	}
}

// TestPowerCutAroundAMark: the mark of a frame and the frame behind it reach the disk
// together, sector by sector. Where the mark alone is lost nothing is damaged, and what
// had been acknowledged is there.
func TestPowerCutAroundAMark(t *testing.T) {
	lost := 0
	for end := 500; end < 530; end++ { // of the first frame and its mark
		one := strings.Repeat("x", end-len(mark)-headerSize-4)
		mem := fresh(t, one).(*fsys.Mem)
		if err := mem.SyncDir("/"); err != nil {
			t.Fatal(err)
		}
		var cuts []*fsys.Mem
		l, _ := open(t, &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			for seed := uint64(0); c.Op == "sync" && seed < 50; seed++ {
				cuts = append(cuts, mem.Crash(seed))
			}
			return nil
		}})
		if err := l.Append([]byte("two")); err != nil {
			t.Fatal(err)
		}
		for _, left := range cuts {
			c, err := Inspect(left, "/data")
			if err != nil || c.Damaged() {
				t.Fatalf("the mark ends at %d: taken for damage: %+v, %v", end, c.Holes, err)
			}
			if len(c.Records) == 2 {
				lost++
			}
			l, got := open(t, left)
			if len(got) == 0 || got[0] != one || len(got) == 2 && got[1] != "two" || len(got) > 2 {
				t.Fatalf("the mark ends at %d: %q", end, got)
			}
			if err := l.Append([]byte("three")); err != nil {
				t.Fatal(err)
			}
			if _, again := open(t, left); cmp.Diff(append(got, "three"), again) != "" {
				t.Fatalf("the mark ends at %d: %q, then %q", end, got, again)
			}
		}
	}
	if lost == 0 {
		t.Error("no cut lost a mark and kept the frame behind it")
	}
}
