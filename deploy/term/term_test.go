package term

import (
	"bytes"
	"testing"
)

func TestPlainOutput(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	p.Live("progress %d", 1)
	p.Printf("%s\n", p.Paint(Red, "text"))
	if out.String() != "text\n" {
		t.Errorf("printed %q", out.String())
	}
}

func TestTerminalOutput(t *testing.T) {
	var out bytes.Buffer
	p := &Printer{w: &out, color: true, live: true, width: 10}
	p.Live("a long line that would wrap")
	p.Live("b")
	p.Printf("%s\n", p.Paint(Green, "ok"))
	const want = "a long li" + "\r\x1b[2K" + "b" + "\r\x1b[2K" + "\x1b[32mok\x1b[0m\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestBarAndCount(t *testing.T) {
	for _, tt := range []struct {
		done, total, filled int
	}{{0, 10, 0}, {5, 10, 12}, {10, 10, 24}, {11, 10, 24}, {0, 0, 24}} {
		if got := bytes.Count([]byte(Bar(tt.done, tt.total)), []byte("█")); got != tt.filled {
			t.Errorf("Bar(%d, %d) fills %d, want %d", tt.done, tt.total, got, tt.filled)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}
