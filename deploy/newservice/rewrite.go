package newservice

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/scanner"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tok is a token of Go source, comments included.
type tok struct {
	kind  token.Token
	text  string
	start int
}

// tokens reads source, which need not be a whole file.
func tokens(src []byte) (out []tok) {
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(src))
	var s scanner.Scanner
	s.Init(file, src, func(token.Position, string) {}, scanner.ScanComments)
	for {
		pos, kind, text := s.Scan()
		switch {
		case kind == token.EOF:
			return out
		case kind == token.SEMICOLON && text == "\n":
			continue // put in by the scanner
		case !kind.IsLiteral() && kind != token.COMMENT:
			text = kind.String()
		}
		out = append(out, tok{kind, text, file.Offset(pos)})
	}
}

// replace puts names in place of others: an identifier as a whole, inside strings
// and comments the longest name that stands there. Files in other languages are
// text.
func replace(file, src string, names map[string]string) string {
	olds := slices.Collect(func(yield func(string) bool) {
		for old := range names {
			if !yield(old) {
				return
			}
		}
	})
	slices.SortFunc(olds, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, old := range olds {
		pairs = append(pairs, old, names[old])
	}
	text := strings.NewReplacer(pairs...)
	if path.Ext(file) != ".go" {
		return text.Replace(src)
	}
	var b strings.Builder
	at := 0
	for _, t := range tokens([]byte(src)) {
		b.WriteString(src[at:t.start])
		at = t.start + len(t.text)
		switch t.kind {
		case token.IDENT:
			b.WriteString(cmp.Or(names[t.text], t.text))
		case token.STRING, token.COMMENT:
			b.WriteString(text.Replace(t.text))
		default:
			b.WriteString(t.text)
		}
	}
	return b.String() + src[at:]
}

// polish removes the imports that a file does not use, and formats it.
func polish(src []byte) ([]byte, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				used[x.Name] = true
			}
		}
		return true
	})
	lines := bytes.SplitAfter(src, []byte("\n"))
	for _, imp := range f.Imports {
		if !used[importName(imp)] && imp.Name == nil && importName(imp) != "embed" {
			lines[fset.Position(imp.Pos()).Line-1] = nil
		}
	}
	return format.Source(bytes.Join(lines, nil))
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// importName is the name under which a package is used.
func importName(imp *ast.ImportSpec) string {
	p, err := strconv.Unquote(imp.Path.Value)
	if err != nil {
		return ""
	}
	if base := path.Base(p); !majorVersion.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(p))
}

// insertion is text to put into a file.
type insertion struct {
	at   int
	text string
}

// insert puts text into a Go file and formats it.
func insert(file string, src []byte, insertions []insertion) ([]byte, error) {
	slices.SortStableFunc(insertions, func(a, b insertion) int { return a.at - b.at })
	var b bytes.Buffer
	at := 0
	for _, i := range insertions {
		b.Write(src[at:i.at])
		b.WriteString(i.text)
		at = i.at
	}
	b.Write(src[at:])
	out, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", file, err, b.String())
	}
	return out, nil
}
