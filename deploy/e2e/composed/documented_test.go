package composed

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/deploy/compose"
)

// row is what docs/metrics.md says of a metric.
type row struct {
	typ, meaning string
	labels       []string
}

// asExposed is a documented metric as scraped has it: its labels, and those of
// the scraped part, with no values.
func (r row) asExposed() map[string]map[string]bool {
	if r.typ == "" {
		return nil
	}
	out := map[string]map[string]bool{}
	for _, l := range append([]string{"job", "instance", "part"}, r.labels...) {
		out[l] = nil
	}
	return out
}

func (r row) String() string {
	var names []string
	for _, l := range r.labels {
		names = append(names, "`"+l+"`")
	}
	return r.typ + " | " + strings.Join(names, ", ") + " | " + r.meaning
}

// documented reads the tables of docs/metrics.md.
func documented(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(compose.Root(), "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\| ([^|]+) \\|$")
	rows := map[string]row{}
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("docs/metrics.md has %s twice", m[1])
		}
		names := strings.FieldsFunc(m[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(names)
		rows[m[1]] = row{m[2], m[4], names}
	}
	return rows
}

// checkDocumented: docs/metrics.md has what the parts expose, in the words of
// their own HELP, and nothing else. What counts faults is not exposed in a run
// without any; then its name and words are in the code.
func checkDocumented(t *testing.T, s scraped, docs map[string]row) {
	t.Helper()
	// What the Go runtime and the process say of themselves is documented elsewhere.
	ofRuntime := regexp.MustCompile(`^(go|process|promhttp)_`)
	for _, name := range slices.Sorted(maps.Keys(s.families)) {
		if ofRuntime.MatchString(name) {
			continue
		}
		f := s.families[name]
		want := row{f.typ, f.help, slices.Sorted(maps.Keys(f.labels))}
		got, ok := docs[name]
		switch {
		case !ok:
			t.Errorf("docs/metrics.md lacks:\n| `%s` | %s |", name, want)
		case got.String() != want.String():
			t.Errorf("docs/metrics.md says of %s\n| %s |, it is\n| %s |", name, got, want)
		}
	}
	code := goCode(t)
	for name, r := range docs {
		if s.families[name] == nil && (!named(code, name) || !strings.Contains(code, r.meaning)) {
			t.Errorf("docs/metrics.md lists %s, which no part exposes and no code registers in these words", name)
		}
	}
}

// named reports whether the code has a metric's name, in full or after the
// prefix that a part gives to all of its metrics.
func named(code, name string) bool {
	for _, prefix := range []string{"", "quokka_cdc_", "outbox_"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && strings.Contains(code, `"`+rest+`"`) {
			return true
		}
	}
	return false
}

// goCode is all of it but the tests.
func goCode(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(compose.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
