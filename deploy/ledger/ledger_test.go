package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatWasNotedIsRead(t *testing.T) {
	dir := t.TempDir()
	if sent, accepted, err := Read(dir); err != nil || sent != nil || accepted != nil {
		t.Fatalf("no ledger yet: %v %v %v", sent, accepted, err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	s := []Sent{{"k1", "c", at}, {"k2", "c", at}}
	a := []Accepted{{"k1", "c", "o1", at}}
	// Two clients, one after the other.
	for i := range s {
		l, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Send(s[i]); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := l.Accept(a[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sent, accepted, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, sent) + cmp.Diff(a, accepted); d != "" {
		t.Error(d)
	}
}
