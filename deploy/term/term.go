// Package term writes for people: colour and live progress on a terminal,
// plain lines into a file or a pipe.
package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Printer writes to one output.
type Printer struct {
	w     io.Writer
	color bool
	live  bool
	width int

	mu    sync.Mutex
	shown bool // a live line stands unfinished
	drawn int  // lines that the last Redraw left
}

// New returns a printer for w. Colour and live lines need a terminal; NO_COLOR
// and TERM=dumb turn them off (https://no-color.org).
func New(w io.Writer) *Printer {
	p := &Printer{w: w, width: 80}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return p
	}
	p.live = true
	p.color = os.Getenv("NO_COLOR") == ""
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
		p.width = width
	}
	return p
}

// Color is an ANSI colour or weight.
type Color string

// The few colours used: green and red for a verdict, bold and dim for weight.
const (
	Bold  Color = "1"
	Dim   Color = "2"
	Red   Color = "31"
	Green Color = "32"
)

// Paint returns text in a colour where the output shows colours.
func (p *Printer) Paint(c Color, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Printf prints, in the place of a live line if there is one.
func (p *Printer) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, format, args...)
}

// Live replaces the live line. Where lines cannot be replaced it prints
// nothing: what matters is printed when it is done.
func (p *Printer) Live(format string, args ...any) {
	if !p.live {
		return
	}
	line := []rune(fmt.Sprintf(format, args...))
	if len(line) >= p.width {
		line = line[:p.width-1]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprint(p.w, string(line))
	p.shown = true
}

// clear removes the live line; p.mu is held.
func (p *Printer) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[2K")
		p.shown = false
	}
}

// Bytes prints a size in binary units, to a tenth.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), "KMGTPE"
	for v /= 1024; v >= 1023.95 && len(units) > 1; v /= 1024 {
		units = units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", v, units[0])
}

// Bar draws how much of total is done.
func Bar(done, total int) string {
	const cells = 24
	filled := cells
	if total > 0 {
		filled = min(cells, cells*done/total)
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", cells-filled)
}

// Count prints n with separators between thousands.
func Count[N ~int | ~int32 | ~int64](n N) string {
	digits := fmt.Sprint(max(n, -n))
	var b strings.Builder
	if n < 0 {
		b.WriteByte('-')
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
