// Package docs executes what README.md and docs/ tell a reader to type, and
// checks that what they show and link to is there.
//
// # Commands
//
// Every fenced block says what it is. A block of commands is marked sh; it is
// run by a shell of its page's own, in the repository's folder, and must exit 0.
// Blocks of a page share that shell: variables, background jobs, cd. What
// follows sh on the fence's line changes this:
//
//	sh exit=1              it must fail with this code (in a subshell)
//	sh needs=psql,kcat     run where these programs are; docker: where its engine answers
//	sh slow                run by `make docs-test` only
//	sh until=TEXT          it does not end: it is left running once it has printed
//	                       TEXT, and ended with its page
//	sh platform            it starts the platform that the page's commands talk to
//
// A block marked console or text that follows directly is the expected output.
// A line "..." in it stands for any lines, "..." within a line for any text.
// Spaces count as one. Ids, times, durations and free ports are compared by
// kind, so that a page shows what was really printed.
//
// Before the first page the harness starts a platform by `make up`, on free
// ports and in a temporary data directory (QUOKKA_DATA_DIR). Pages are written
// for the default ports; commands are run, and outputs compared, with the ports
// exchanged. Comments change it for one page:
//
//	<!-- docs: own platform -->    a platform nobody else has written to
//	<!-- docs: own checkout -->    a copy of the tree, which the page may change, and
//	                               no platform: the page starts it (until=Ctrl-C)
//	<!-- docs: unless PATH -->     not run where the tree has PATH
//
// What is not run is listed with its reason by TestNotRun.
//
// # Code and links
//
// A block with file=PATH must be in that file, line by line, but for its
// indentation; a line "..." (or a comment of it) leaves lines out. A link whose
// text is code, such as [`order.Apply`](../services/order/order.go), must name
// something declared in the file. All other links must lead somewhere, anchors
// included.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository's folder, seen from this package.
var root = func() string {
	dir, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		panic(err)
	}
	return dir
}()

// page is a Markdown file.
type page struct {
	name   string // from the repository's folder
	text   string
	blocks []block
	marks  []string // its <!-- docs: ... --> comments
}

// block is a fenced block of a page.
type block struct {
	page  string
	line  int // of the fence
	lang  string
	attrs map[string]string
	text  string
	// expected is the output that a page shows for a block of commands.
	expected *block
	isOutput bool // it is some block's expected
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

func (b block) has(attr string) bool { _, ok := b.attrs[attr]; return ok }

func (p page) has(mark string) bool { return slices.Contains(p.marks, mark) }

// notRun says why a page is not run here, "" if it is.
func (p page) notRun() string {
	for _, m := range p.marks {
		if path, ok := strings.CutPrefix(m, "unless "); ok {
			if _, err := os.Stat(filepath.Join(root, path)); err == nil {
				return "the tree has " + path
			}
		}
	}
	return ""
}

// pages reads README.md and all of docs/.
func pages(t *testing.T) []page {
	t.Helper()
	names := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			name, _ := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]page, 0, len(names))
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		p, err := parse(name, string(text))
		if err != nil {
			t.Error(err)
		}
		out = append(out, p)
	}
	return out
}

var (
	fence = regexp.MustCompile("^([ \t]*)(```+)(.*)$")
	mark  = regexp.MustCompile(`^<!-- docs: (.*) -->$`)
)

// parse finds a page's blocks.
func parse(name, text string) (page, error) {
	p := page{name: name, text: text}
	var open *block // the block we are in
	var indent, ticks string
	adjacent := false // nothing but empty lines since the last block of commands
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open != nil && m != nil && m[2] == ticks && m[3] == "":
			b := *open
			open = nil
			if adjacent && (b.lang == "text" || b.lang == "console") {
				b.isOutput = true
				p.blocks[len(p.blocks)-1].expected = &b
			}
			adjacent = b.lang == "sh"
			p.blocks = append(p.blocks, b)
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case m != nil:
			indent, ticks = m[1], m[2]
			b, err := newBlock(name, i+1, m[3])
			if err != nil {
				return p, err
			}
			open = &b
		default:
			if m := mark.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				p.marks = append(p.marks, m[1])
			}
			adjacent = adjacent && strings.TrimSpace(line) == ""
		}
	}
	if open != nil {
		return p, fmt.Errorf("%s: the block is not closed", *open)
	}
	return p, nil
}

// attribute is a word after the language: name, name=value or name="some value".
var attribute = regexp.MustCompile(`([a-z]+)(?:=("[^"]*"|\S+))?`)

func newBlock(page string, line int, info string) (block, error) {
	lang, rest, _ := strings.Cut(strings.TrimSpace(info), " ")
	b := block{page: page, line: line, lang: lang, attrs: map[string]string{}}
	for _, m := range attribute.FindAllStringSubmatch(rest, -1) {
		b.attrs[m[1]] = strings.Trim(m[2], `"`)
	}
	return b, nil
}

// What a block may be, and the words that may follow.
var languages = map[string][]string{
	"sh":         {"exit", "needs", "slow", "until", "platform"},
	"console":    nil,
	"text":       nil,
	"mermaid":    nil,
	"go":         {"file"},
	"sql":        {"file"},
	"json":       {"file"},
	"yaml":       {"file"},
	"properties": {"file"},
	"diff":       nil,
}

// TestBlocks: every block says what it is, so that no command escapes.
func TestBlocks(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range p.marks {
			if m != "own platform" && m != "own checkout" && !strings.HasPrefix(m, "unless ") {
				t.Errorf("%s: unknown mark %q", p.name, m)
			}
		}
		for _, b := range p.blocks {
			attrs, known := languages[b.lang]
			if !known {
				t.Errorf("%s: a block of %q: want one of sh, console, text, mermaid, go, sql, json, yaml, properties, diff", b, b.lang)
			}
			for name := range b.attrs {
				if !slices.Contains(attrs, name) {
					t.Errorf("%s: %s has no %q", b, b.lang, name)
				}
			}
			if b.lang == "console" && !b.isOutput {
				t.Errorf("%s: output that follows no command", b)
			}
			if command := strings.TrimSpace(b.text); b.has("platform") && command != startsPlatform && command != startsBuiltPlatform {
				t.Errorf("%s: the platform is started by %q or %q", b, startsPlatform, startsBuiltPlatform)
			}
			if b.has("exit") && b.has("until") {
				t.Errorf("%s: what ends and what does not", b)
			}
		}
	}
}

func TestParse(t *testing.T) {
	p, err := parse("x.md", strings.Join([]string{
		"<!-- docs: own platform -->", "```sh exit=1 needs=psql,kcat until=\"is up\"", "one", "two", "```", "", "```text", "out", "```",
		"- item:", "  ```console", "  more", "    deep", "  ```", "", "````text", "```", "````",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !p.has("own platform") || len(p.blocks) != 4 {
		t.Fatalf("%+v", p)
	}
	first := p.blocks[0]
	if first.text != "one\ntwo\n" || first.attrs["exit"] != "1" || first.attrs["needs"] != "psql,kcat" || first.attrs["until"] != "is up" {
		t.Errorf("%+v", first)
	}
	if first.expected == nil || first.expected.text != "out\n" || !p.blocks[1].isOutput {
		t.Errorf("expected output: %+v", first.expected)
	}
	if b := p.blocks[2]; b.isOutput || b.text != "more\n  deep\n" || b.line != 11 {
		t.Errorf("%+v", b)
	}
	if b := p.blocks[3]; b.text != "```\n" {
		t.Errorf("%+v", b)
	}
	if _, err := parse("x.md", "```sh\nnever closed\n"); err == nil {
		t.Error("an open block is accepted")
	}
}
