package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	symbol  = regexp.MustCompile("^`(?:[a-z]+\\.)?\\(?\\*?([A-Za-z_]\\w*)\\)?(?:\\.([A-Za-z_]\\w*))?(?:\\(\\))?`$")
)

// prose is a page without its blocks.
func (p page) prose() string {
	var out strings.Builder
	inside := ""
	for line := range strings.Lines(p.text) {
		m := fence.FindStringSubmatch(strings.TrimRight(line, "\n"))
		switch {
		case inside != "":
			if m != nil && m[2] == inside && m[3] == "" {
				inside = ""
			}
		case m != nil:
			inside = m[2]
		default:
			out.WriteString(line)
		}
	}
	return out.String()
}

// anchors are those that GitHub gives a page's headings.
func (p page) anchors() map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(p.prose(), -1) {
		slug := anchor(m[1])
		for i := 1; out[slug]; i++ {
			slug = fmt.Sprintf("%s-%d", anchor(m[1]), i)
		}
		out[slug] = true
	}
	return out
}

func anchor(text string) string {
	text = link.ReplaceAllString(text, "$1")
	var out strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(text)) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			out.WriteRune(r)
		case r == ' ':
			out.WriteByte('-')
		}
	}
	return out.String()
}

// TestLinks: every link within the repository leads somewhere.
func TestLinks(t *testing.T) {
	all := map[string]page{}
	for _, p := range pages(t) {
		all[p.name] = p
	}
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.prose(), -1) {
			if err := checkLink(all, p, m[1], m[2]); err != nil {
				t.Errorf("%s: [%s](%s): %v", p.name, m[1], m[2], err)
			}
		}
	}
}

func checkLink(all map[string]page, from page, text, target string) error {
	if strings.Contains(target, "://") {
		if !strings.HasPrefix(target, "https://") {
			return fmt.Errorf("want https")
		}
		return nil
	}
	file, at, _ := strings.Cut(target, "#")
	name := from.name
	if file != "" {
		name = path.Join(path.Dir(from.name), file)
	}
	if _, err := os.Stat(filepath.Join(root, name)); err != nil {
		return fmt.Errorf("there is no %s", name)
	}
	if at != "" && !all[name].anchors()[at] {
		return fmt.Errorf("%s has no heading #%s", name, at)
	}
	if m := symbol.FindStringSubmatch(text); m != nil && strings.HasSuffix(name, ".go") {
		declared, err := declarations(filepath.Join(root, name))
		if err != nil {
			return err
		}
		for _, want := range []string{m[1], m[2]} {
			if want == "" || declared[want] || want == m[1] && m[2] != "" && declared[m[2]] {
				continue
			}
			return fmt.Errorf("%s does not declare %s", name, want)
		}
	}
	return nil
}

// declarations are the names that a Go file declares: functions, methods, types,
// fields, constants and variables.
func declarations(file string) (map[string]bool, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			out[n.Name.Name] = true
			return false
		case *ast.TypeSpec:
			out[n.Name.Name] = true
		case *ast.ValueSpec:
			for _, id := range n.Names {
				out[id.Name] = true
			}
		case *ast.Field:
			for _, id := range n.Names {
				out[id.Name] = true
			}
		}
		return true
	})
	return out, nil
}

// TestExcerpts: code that a page shows is in the file it names.
func TestExcerpts(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if file := b.attrs["file"]; file != "" {
				text, err := os.ReadFile(filepath.Join(root, file))
				if err != nil {
					t.Errorf("%s: %v", b, err)
				} else if missing := excerpt(b.text, string(text)); missing != "" {
					t.Errorf("%s: %s has no line %q, or not there", b, file, missing)
				}
			} else if b.lang == "go" {
				t.Errorf("%s: which file is it from? file=PATH", b)
			}
		}
	}
}

// excerpt returns the first line of an excerpt that is not where it should be,
// "" if all are.
func excerpt(text, file string) (missing string) {
	lines := func(s string) []string {
		var out []string
		for line := range strings.Lines(s) {
			if line = strings.Join(strings.Fields(line), " "); line != "" {
				out = append(out, line)
			}
		}
		return out
	}
	want, have := lines(text), lines(file)
	var most int
	for begin := range have {
		if n := fits(want, have[begin:]); n == len(want) {
			return ""
		} else if n > most {
			most = n
		}
	}
	return want[most]
}

// fits returns how many lines of want are at the front of have.
func fits(want, have []string) int {
	at, gap := 0, false
	for i, line := range want {
		if line = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(line, "//"), "--")); line == "..." {
			gap = true
			continue
		}
		for gap && at < len(have) && have[at] != want[i] {
			at++
		}
		if at >= len(have) || have[at] != want[i] {
			return i
		}
		at, gap = at+1, false
	}
	return len(want)
}

func TestExcerptsFound(t *testing.T) {
	file := "a\n\tb {\n\t\tc\n\t}\nd\n"
	for text, missing := range map[string]string{
		"b {\n\tc\n}\n": "", "a\n// ...\nd\n": "", "b {\n\t...\n}\n": "", "a\nc\n": "c", "x\n": "x", "a\n...\nx\n": "x",
	} {
		if got := excerpt(text, file); got != missing {
			t.Errorf("%q: %q, want %q", text, got, missing)
		}
	}
}

// TestMermaid: a diagram is of a kind that exists, and what it opens it closes.
func TestMermaid(t *testing.T) {
	known := regexp.MustCompile(`^(flowchart (LR|TD|TB|RL)|sequenceDiagram|stateDiagram-v2|erDiagram|gantt)$`)
	opens := regexp.MustCompile(`(?m)^\s*(subgraph|loop|alt|opt|par|rect|critical|break)\b`)
	ends := regexp.MustCompile(`(?m)^\s*end\s*$`)
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.lang != "mermaid" {
				continue
			}
			first, _, _ := strings.Cut(b.text, "\n")
			if !known.MatchString(strings.TrimSpace(first)) {
				t.Errorf("%s: no diagram begins with %q", b, first)
			}
			if o, e := len(opens.FindAllString(b.text, -1)), len(ends.FindAllString(b.text, -1)); o != e {
				t.Errorf("%s: %d opened, %d ends", b, o, e)
			}
			if strings.HasPrefix(first, "flowchart") {
				for _, pair := range []string{"[]", "()", "{}"} {
					if o, c := strings.Count(b.text, pair[:1]), strings.Count(b.text, pair[1:]); o != c {
						t.Errorf("%s: %d %c but %d %c", b, o, pair[0], c, pair[1])
					}
				}
			}
			if strings.Count(b.text, `"`)%2 != 0 {
				t.Errorf("%s: an open quotation mark", b)
			}
		}
	}
}
