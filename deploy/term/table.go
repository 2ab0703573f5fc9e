package term

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Column is a column of a table.
type Column struct {
	Title string
	// Right aligns to the right, for numbers.
	Right bool
}

// Table prints rows under the columns' titles, each column as wide as its widest
// cell. A column without any text in its rows is left out.
func (p *Printer) Table(columns []Column, rows [][]string) {
	p.Printf("%s", p.FormatTable(columns, rows))
}

// FormatTable returns what Table prints.
func (p *Printer) FormatTable(columns []Column, rows [][]string) string {
	widths := make([]int, len(columns))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(cell func(i int) string, paint Color) {
		var text strings.Builder
		for i, column := range columns {
			if widths[i] == 0 {
				continue
			}
			width := max(widths[i], utf8.RuneCountInString(column.Title))
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell(i)))
			if text.WriteString("  "); column.Right {
				text.WriteString(pad + cell(i))
			} else {
				text.WriteString(cell(i) + pad)
			}
		}
		trimmed := strings.TrimRight(text.String(), " ")
		if paint != "" {
			trimmed = p.Paint(paint, trimmed)
		}
		b.WriteString(trimmed + "\n")
	}
	line(func(i int) string { return columns[i].Title }, Dim)
	for _, row := range rows {
		line(func(i int) string { return row[i] }, "")
	}
	return b.String()
}

// Redraw prints text in the place of what the last Redraw printed, where the
// output is a terminal; elsewhere below it.
func (p *Printer) Redraw(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	if p.live {
		if p.drawn > 0 {
			fmt.Fprintf(p.w, "\x1b[%dA\x1b[0J", p.drawn)
		}
		p.drawn = strings.Count(text, "\n")
	}
	fmt.Fprint(p.w, text)
}
