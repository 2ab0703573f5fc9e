package codec

import "fmt"

// Difference is where two schemas part.
type Difference struct {
	// Path leads to the element, such as lines[].quantity; "" for the schema
	// itself.
	Path string
	// Detail says what differs there.
	Detail string
}

// Diff returns the first difference between have and want that bears on
// values, and, where there is none, the first that only bears on the text, such
// as a doc. It reports false for equal schemas.
func Diff(have, want *Schema) (Difference, bool) {
	d := differ{seen: map[[2]*Node]bool{}}
	d.node("", have.root, want.root)
	if d.found == nil {
		d.text, d.seen = true, map[[2]*Node]bool{}
		d.node("", have.root, want.root)
	}
	if d.found == nil {
		if have.String() == want.String() {
			return Difference{}, false
		}
		return Difference{Detail: "the texts differ"}, true
	}
	return *d.found, true
}

type differ struct {
	seen  map[[2]*Node]bool
	text  bool // compare docs, aliases and properties too
	found *Difference
}

func (d *differ) report(path, format string, args ...any) {
	if d.found == nil {
		d.found = &Difference{Path: path, Detail: fmt.Sprintf(format, args...)}
	}
}

func (d *differ) node(path string, a, b *Node) {
	if d.found != nil || a == nil || b == nil || d.seen[[2]*Node{a, b}] {
		return
	}
	d.seen[[2]*Node{a, b}] = true
	if typeName(a) != typeName(b) {
		d.report(path, "type %s instead of %s", typeName(a), typeName(b))
		return
	}
	switch {
	case a.IsRecord():
		d.fields(path, a, b)
	case a.Type == "enum":
		if fmt.Sprint(a.Symbols) != fmt.Sprint(b.Symbols) {
			d.report(path, "symbols %v instead of %v", a.Symbols, b.Symbols)
		}
	case a.Type == "fixed" && a.Size != b.Size:
		d.report(path, "size %d instead of %d", a.Size, b.Size)
	case a.Type == "array" || a.Type == "map":
		d.node(path+"[]", a.Elem, b.Elem)
	case a.Type == "union":
		if len(a.Branches) != len(b.Branches) {
			d.report(path, "%d union branches instead of %d", len(a.Branches), len(b.Branches))
			return
		}
		for i := range a.Branches {
			d.node(path, a.Branches[i], b.Branches[i])
		}
	}
	if d.text && (a.Doc != b.Doc || fmt.Sprint(a.Aliases) != fmt.Sprint(b.Aliases) || fmt.Sprintf("%s", a.Props) != fmt.Sprintf("%s", b.Props)) {
		d.report(path, "another doc, alias or property")
	}
}

func (d *differ) fields(path string, a, b *Node) {
	for _, f := range a.Fields {
		if b.Field(f.Name) == nil {
			d.report(join(path, f.Name), "a field that the other does not have")
		}
	}
	for _, f := range b.Fields {
		if a.Field(f.Name) == nil {
			d.report(join(path, f.Name), "no such field")
		}
	}
	for i, f := range a.Fields {
		if d.found != nil {
			return
		}
		if b.Fields[i].Name != f.Name {
			d.report(join(path, f.Name), "field at place %d instead of %s", i+1, b.Fields[i].Name)
			return
		}
		g := b.Fields[i]
		d.node(join(path, f.Name), f.Type, g.Type)
		if string(f.Default) != string(g.Default) {
			d.report(join(path, f.Name), "default %s instead of %s", orNone(f.Default), orNone(g.Default))
		}
		if d.text && (f.Doc != g.Doc || f.Order != g.Order || fmt.Sprint(f.Aliases) != fmt.Sprint(g.Aliases) || fmt.Sprintf("%s", f.Props) != fmt.Sprintf("%s", g.Props)) {
			d.report(join(path, f.Name), "another doc, alias or property")
		}
	}
}

func typeName(n *Node) string {
	if n.fits() {
		return n.FullName() + " (" + n.LogicalType() + ")"
	}
	return n.FullName()
}

func orNone(raw []byte) string {
	if raw == nil {
		return "none"
	}
	return string(raw)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
