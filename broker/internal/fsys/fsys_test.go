package fsys

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// must is for calls that tests do not expect to fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestContract holds the implementations to the same behaviour.
func TestContract(t *testing.T) {
	for name, open := range map[string]func(*testing.T) (FS, string){
		"os":     func(t *testing.T) (FS, string) { return OS, t.TempDir() },
		"mem":    func(*testing.T) (FS, string) { return NewMem(), "/d" },
		"faulty": func(*testing.T) (FS, string) { return &Faulty{FS: NewMem()}, "/d" },
	} {
		t.Run(name, func(t *testing.T) {
			fs, root := open(t)
			dir := filepath.Join(root, "a", "b")
			if err := errors.Join(fs.MkdirAll(dir), fs.MkdirAll(dir)); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Open(filepath.Join(dir, "x")); !errors.Is(err, ErrNotExist) {
				t.Fatalf("open of nothing: %v", err)
			}
			f := must(fs.Create(filepath.Join(dir, "x")))
			if n := must(f.WriteVAt([][]byte{[]byte("he"), nil, []byte("llo"), []byte("!")}, 3)); n != 6 {
				t.Fatal(n)
			}
			if n := must(f.WriteAt([]byte("abc"), 0)); n != 3 {
				t.Fatal(n)
			}
			buf := make([]byte, 20)
			if n, _ := f.ReadAt(buf, 0); string(buf[:n]) != "abchello!" {
				t.Fatalf("%q", buf[:n])
			}
			if err := errors.Join(f.Truncate(4), f.SyncData(), f.Sync(), f.Preallocate(0, 4096)); err != nil {
				t.Fatal(err)
			}
			if size := must(f.Size()); size != 4 {
				t.Fatal(size)
			}
			if err := errors.Join(f.Close(), fs.SyncDir(dir), fs.Rename(filepath.Join(dir, "x"), filepath.Join(dir, "y"))); err != nil {
				t.Fatal(err)
			}
			es := must(fs.ReadDir(dir))
			if len(es) != 1 || es[0] != (Entry{Name: "y", Size: 4}) {
				t.Fatalf("%+v", es)
			}
			if e := must(fs.Stat(dir)); !e.Dir {
				t.Fatalf("%+v", e)
			}
			l := must(fs.Lock(filepath.Join(dir, "lock")))
			if _, err := fs.Lock(filepath.Join(dir, "lock")); !errors.Is(err, ErrLocked) {
				t.Fatalf("second lock: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			must(fs.Lock(filepath.Join(dir, "lock"))).Close()
			if free := must(fs.Free(dir)); free <= 0 {
				t.Fatal(free)
			}
			p := must(fs.Create(filepath.Join(dir, "p")))
			switch err := p.Preallocate(0, 8<<20); {
			case errors.Is(err, errors.ErrUnsupported):
				t.Logf("preallocation: not run: %v", err)
			case err != nil, must(p.Size()) != 0:
				t.Fatal(err, must(p.Size()))
			default:
				_, err := p.WriteAt([]byte("x"), 4<<20)
				if err := errors.Join(err, p.Close(), fs.Remove(filepath.Join(dir, "p"))); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(fs.Remove(filepath.Join(dir, "y")), fs.RemoveAll(filepath.Join(root, "a")), fs.RemoveAll(filepath.Join(root, "a"))); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Stat(dir); !errors.Is(err, ErrNotExist) {
				t.Fatalf("stat of nothing: %v", err)
			}
		})
	}
}

// TestOSWritesManyBuffers crosses IOV_MAX.
func TestOSWritesManyBuffers(t *testing.T) {
	f := must(OS.Create(filepath.Join(t.TempDir(), "f")))
	defer f.Close()
	var bufs [][]byte
	var want []byte
	for i := range 3000 {
		b := fmt.Appendf(nil, "%d,", i)
		bufs, want = append(bufs, b), append(want, b...)
	}
	if n := must(f.WriteVAt(bufs, 0)); n != int64(len(want)) {
		t.Fatal(n)
	}
	got := make([]byte, len(want))
	must(f.ReadAt(got, 0))
	if !bytes.Equal(got, want) {
		t.Fatal("bytes differ")
	}
}

// TestCrash: what was synced is always there; what was not is there in some
// crashes and missing in others.
func TestCrash(t *testing.T) {
	m := NewMem()
	_ = m.MkdirAll("/d")
	_ = m.SyncDir("/")
	f := must(m.Create("/d/f"))
	must(f.WriteAt(bytes.Repeat([]byte{1}, 2000), 0))
	_ = f.Sync()
	_ = m.SyncDir("/d")
	must(f.WriteAt(bytes.Repeat([]byte{2}, 3000), 1024))
	must(m.Create("/d/g")).Close()
	seen := map[string]bool{}
	for seed := range uint64(500) {
		c := m.Crash(seed)
		data := make([]byte, 10000)
		g := must(c.Open("/d/f"))
		n, _ := g.ReadAt(data, 0)
		data = data[:n]
		if n < 2000 || n > 4024 || !bytes.Equal(data[:1024], bytes.Repeat([]byte{1}, 1024)) {
			t.Fatalf("seed %d lost synced bytes", seed)
		}
		for s := 1024; s+512 <= n; s += 512 {
			one, two := bytes.Count(data[s:s+512], []byte{1}), bytes.Count(data[s:s+512], []byte{2})
			switch {
			case two == 512:
				seen["new"] = true
			case s+512 <= 2000 && one != 512:
				t.Fatalf("seed %d: sector at %d is torn", seed, s)
			case one == 512:
				seen["old"] = true
			case s >= 2048 && bytes.Equal(data[s:s+512], make([]byte, 512)):
				seen["zero"] = true
			case s >= 2048:
				seen["stale"] = true
			}
		}
		seen[fmt.Sprint("size ", map[int]string{2000: "old", 4024: "new"}[n])] = true
		if _, err := c.Stat("/d/g"); err == nil {
			seen["name"] = true
		} else {
			seen["no name"] = true
		}
	}
	for _, want := range []string{"new", "old", "zero", "stale", "size old", "size new", "size ", "name", "no name"} {
		if !seen[want] {
			t.Errorf("no crash showed: %s", want)
		}
	}
	if seed := uint64(7); !bytes.Equal(content(m.Crash(seed)), content(m.Crash(seed))) {
		t.Error("one seed, two crashes")
	}
}

func content(m *Mem) []byte {
	f := must(m.Open("/d/f"))
	size := must(f.Size())
	b := make([]byte, size)
	_, _ = f.ReadAt(b, 0)
	return b
}

func TestRenameIsAtomic(t *testing.T) {
	m := NewMem()
	f := must(m.Create("/old"))
	must(f.WriteAt([]byte("v1"), 0))
	_ = f.Sync()
	_ = m.SyncDir("/")
	g := must(m.Create("/tmp"))
	must(g.WriteAt([]byte("v2"), 0))
	_ = g.Sync()
	_ = m.Rename("/tmp", "/old")
	for seed := range uint64(100) {
		c := m.Crash(seed)
		b := make([]byte, 2)
		must(must(c.Open("/old")).ReadAt(b, 0))
		if s := string(b); s != "v1" && s != "v2" {
			t.Fatalf("seed %d: %q", seed, s)
		}
	}
}

func TestFaults(t *testing.T) {
	m := NewMem()
	fs := &Faulty{FS: m, Hook: Nth(1, ErrShort)}
	f := must(fs.Create("/f"))
	n, err := f.WriteVAt([][]byte{[]byte("abcd"), []byte("efgh")}, 0)
	if n != 4 || !errors.Is(err, ErrNoSpace) {
		t.Fatal(n, err)
	}
	must(f.WriteAt([]byte("xyz"), 4))
	fs.Hook = func(c Call) error {
		if c.Op == "sync" {
			return ErrIO
		}
		return nil
	}
	if err := f.SyncData(); !errors.Is(err, ErrIO) {
		t.Fatal(err)
	}
	m.SetCapacity(10)
	if n, err := f.WriteAt([]byte("1234567"), 7); n != 3 || !errors.Is(err, ErrNoSpace) {
		t.Fatal(n, err)
	}
	if free := must(m.Free("/")); free != 0 {
		t.Fatal(free)
	}
}
