package journal

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

type record struct{ N int }

func open(t *testing.T, path string) (*Journal, []int) {
	t.Helper()
	var got []int
	j, err := Open(path, func(line []byte, _ int64) error {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		got = append(got, r.N)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, got
}

func TestAppendedRecordsAreReplayed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "x.jsonl")
	j, _ := open(t, path)
	var wg sync.WaitGroup
	var mu sync.Mutex
	at := map[int]int64{}
	for n := range 50 {
		wg.Go(func() {
			pos, err := j.Append(record{n})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			at[n] = pos
			mu.Unlock()
		})
	}
	wg.Wait()
	for n, pos := range at {
		var r record
		if err := j.Read(pos, &r); err != nil || r.N != n {
			t.Errorf("record at %d is %v (%v), want %d", pos, r.N, err, n)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(record{1}); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed journal: %v", err)
	}
	_, got := open(t, path)
	if len(got) != 50 {
		t.Errorf("replayed %d records, want 50", len(got))
	}
}

// TestTornTail: whatever a crash cut off behind the last record is gone after
// Open, and what is appended then is found after the intact records.
func TestTornTail(t *testing.T) {
	for name, tail := range map[string]string{
		"half a line":       `{"N":`,
		"whole without end": `{"N":9}`,
		"zeros":             "\x00\x00\x00",
		"zeros and newline": "{\"N\x00\x00\n",
		"nothing":           "",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.jsonl")
			if err := os.WriteFile(path, []byte("{\"N\":1}\n{\"N\":2}\n"+tail), 0o600); err != nil {
				t.Fatal(err)
			}
			j, got := open(t, path)
			if len(got) != 2 {
				t.Fatalf("replayed %v, want records 1 and 2", got)
			}
			if _, err := j.Append(record{3}); err != nil {
				t.Fatal(err)
			}
			j.Close()
			if _, got := open(t, path); len(got) != 3 || got[2] != 3 {
				t.Errorf("replayed %v after the repair, want 1 2 3", got)
			}
		})
	}
}

func TestDamageBeforeIntactRecordsIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(path, []byte("{\"N\":1}\n{\"N\n{\"N\":3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, func([]byte, int64) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "damaged at byte 8") {
		t.Errorf("got %v, want the damage named", err)
	}
}

func TestReplayBesideAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	none := func([]byte, int64) error { t.Error("a record from nowhere"); return nil }
	if err := Replay(path, none); err != nil {
		t.Errorf("missing file: %v", err)
	}
	j, _ := open(t, path)
	if err := j.Note(record{1}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := Replay(path, func([]byte, int64) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("replayed %d records (%v), want 1", n, err)
	}
}
