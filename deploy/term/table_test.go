package term

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	var b bytes.Buffer
	New(&b).Table([]Column{{Title: "NAME"}, {Title: "EMPTY"}, {Title: "N", Right: true}, {Title: "LAST"}}, [][]string{
		{"größer", "", "1,000", "x"}, {"a", "", "7", ""},
	})
	const want = `  NAME        N  LAST
  größer  1,000  x
  a           7
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// TestRedraw: a terminal shows one text in the place of the other, a file has all.
func TestRedraw(t *testing.T) {
	var b bytes.Buffer
	p := New(&b)
	p.Redraw("a\nb\n")
	p.Redraw("c\n")
	if b.String() != "a\nb\nc\n" {
		t.Errorf("a file: %q", b.String())
	}
	b.Reset()
	p = New(&b)
	p.live = true
	p.Redraw("a\nb\n")
	p.Redraw("c\n")
	p.Redraw("d\n")
	if want := "a\nb\n\x1b[2A\x1b[0Jc\n\x1b[1A\x1b[0Jd\n"; b.String() != want {
		t.Errorf("a terminal: %q, want %q", b.String(), want)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
