package limit

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestDocumented: docs/broker.md has every limit, by its name in metrics, in a row
// of its table.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/broker.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the module is tested outside its workspace")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| what | limit | setting | metric |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var h Hits
	h.Each(func(l Limit, hits int64) {
		if l.String() == "" || hits != 0 {
			t.Errorf("limit %d is %q, reached %d times", l, l, hits)
		}
		named := 0
		for row := range strings.Lines(table) {
			if strings.Contains(row[strings.LastIndex(strings.TrimRight(row, " |\n"), "|")+1:], "`"+l.String()+"`") {
				named++
			}
		}
		if named != 1 {
			t.Errorf("%d rows of the page name %s", named, l)
		}
	})
	for row := range strings.Lines(table) {
		if strings.Count(row, "|") != 5 {
			t.Errorf("a row with other columns: %s", row)
		}
	}
	h.Hit(Idle)
	h.Each(func(l Limit, hits int64) {
		if (l == Idle) != (hits == 1) {
			t.Errorf("%s was reached %d times", l, hits)
		}
	})
}
