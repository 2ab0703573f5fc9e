package docs

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// kinds are what differs from run to run and is compared by its kind.
var kinds = []struct {
	pattern *regexp.Regexp
	kind    string
}{
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "<uuid>"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?(?:\d\d)?|\b)`), "<time>"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "<hex>"},
	{regexp.MustCompile(`\[\d+\]@\d+`), "[<partition>]@<offset>"},
	{regexp.MustCompile(`\b[\d,]+(?:\.\d+)? ?(?:µs|ms|s|min|h|kB|KiB|MB|MiB|GB|GiB|bytes|B)\b`), "<measure>"},
	{regexp.MustCompile(`\b\d+\.\d+\b`), "<decimal>"},
	{regexp.MustCompile(`-[-+]{2,}`), "<rule>"},
}

// comparable is a line as it is compared.
func comparable(line string) string {
	for _, k := range kinds {
		line = k.pattern.ReplaceAllString(line, k.kind)
	}
	return strings.Join(strings.Fields(line), " ")
}

func comparableLines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		// What a terminal would show of a line that is written over.
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r\n"), '\r'); i >= 0 {
			line = line[i+1:]
		}
		if line = comparable(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// match compares an output with what a page shows of it; the error names the
// line that differs.
func match(expected, output string) error {
	want, got := comparableLines(expected), comparableLines(output)
	matched, at := matchLines(want, got)
	switch {
	case matched:
		return nil
	case at < len(want):
		return fmt.Errorf("the page shows %q, which the output has not at that place", want[at])
	default:
		return fmt.Errorf("the output goes on where the page's ends")
	}
}

// matchLines also tells how many lines of want fitted at most.
func matchLines(want, got []string) (matched bool, most int) {
	for i, line := range want {
		if line == "..." {
			for skip := 0; skip <= len(got)-i; skip++ {
				ok, n := matchLines(want[i+1:], got[i+skip:])
				if most = max(most, i+1+n); ok {
					return true, most
				}
			}
			return false, most
		}
		if i >= len(got) || !matchLine(line, got[i]) {
			return false, i
		}
	}
	return len(want) == len(got), len(want)
}

// dots stand for any text, also none, with the spaces around them.
var dots = regexp.MustCompile(` ?\.\.\. ?`)

func matchLine(want, got string) bool {
	parts := dots.Split(want, -1)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(got)
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		expected, output string
		ok               bool
	}{
		{"lost 0\n", "  lost 0  \n", true},
		{"lost 0\n", "lost 1\n", false},
		{"a\n", "a\nb\n", false},
		{"a\n...\n", "a\nb\nc\n", true},
		{"...\nb\n...\n", "a\nb\nc\n", true},
		{"...\nd\n...\n", "a\nb\nc\n", false},
		{"a\n...\na\n", "a\na\na\n", true},
		{"...", "", true},
		{"a\n", "", false},
		{"order 01a20ab2-c591-7d8b-8d33-835418fd037c", "order 019f0ab2-c591-7d8b-8d33-835418fd0000", true},
		{"2026-01-02T03:04:05.678Z  orders.v1[3]@17  12.5 ms", "2027-11-12T13:14:15Z orders.v1[0]@0 7 ms", true},
		{"group ... has 3", "group inventory has 3", true},
		{"group ... has 3", "group inventory has 4", false},
		{"lag ...", "lag", true},
		{"... lag", "big lag", true},
		{" a | b\n---+---\n", " a  | b\n----+-----\n", true},
		{"(a|b)", "a", false},
		{"done", "50 %\r  done\n", true},
	} {
		if err := match(tc.expected, tc.output); (err == nil) != tc.ok {
			t.Errorf("%q against %q: %v", tc.expected, tc.output, err)
		}
	}
}
