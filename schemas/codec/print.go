package codec

import "strconv"

// A printer writes nodes as Java's Schema.toString() does. Schema Registry
// takes that text as a schema's identity, so every byte matters: the order of
// attributes, which names are written in full, no spaces.
type printer struct {
	buf   []byte
	known map[string]bool // full names written so far, or given
	// plain leaves out what does not bear on values: docs, order, properties,
	// and logical types that do not fit.
	plain bool
}

func (p *printer) raw(s string)    { p.buf = append(p.buf, s...) }
func (p *printer) string(s string) { p.buf = appendString(p.buf, s) }

func (p *printer) attr(name, s string) {
	p.raw(`,"` + name + `":`)
	p.string(s)
}

func (p *printer) node(n *Node, space string) {
	switch n.Type {
	case "record", "error":
		p.record(n, space)
	case "enum":
		p.enum(n, space)
	case "fixed":
		p.fixed(n, space)
	case "array":
		p.raw(`{"type":"array","items":`)
		p.node(n.Elem, space)
		p.nodeProps(n)
		p.raw("}")
	case "map":
		p.raw(`{"type":"map","values":`)
		p.node(n.Elem, space)
		p.nodeProps(n)
		p.raw("}")
	case "union":
		p.raw("[")
		for i, b := range n.Branches {
			if i > 0 {
				p.raw(",")
			}
			p.node(b, space)
		}
		p.raw("]")
	default:
		if len(n.Props) == 0 || p.plain && !n.fits() {
			p.string(n.Type)
			return
		}
		p.raw(`{"type":`)
		p.string(n.Type)
		p.nodeProps(n)
		p.raw("}")
	}
}

// reference writes a name that is already defined, and reports whether it was.
func (p *printer) reference(n *Node, space string) bool {
	if !p.known[n.FullName()] {
		p.known[n.FullName()] = true
		return false
	}
	p.string(qualified(n.Namespace, n.Name, space))
	return true
}

// begin writes {"type":…,"name":…,"namespace":…,"doc":…; the namespace only
// where it is not the one around it.
func (p *printer) begin(n *Node, space string) {
	p.raw(`{"type":`)
	p.string(n.Type)
	p.attr("name", n.Name)
	if n.Namespace != space {
		p.attr("namespace", n.Namespace)
	}
	if n.HasDoc && !p.plain {
		p.attr("doc", n.Doc)
	}
}

func (p *printer) record(n *Node, space string) {
	if p.reference(n, space) {
		return
	}
	p.begin(n, space)
	p.raw(`,"fields":[`)
	for i, f := range n.Fields {
		if i > 0 {
			p.raw(",")
		}
		p.field(f, n.Namespace)
	}
	p.raw("]")
	p.end(n)
}

func (p *printer) field(f *Field, space string) {
	p.raw(`{"name":`)
	p.string(f.Name)
	p.raw(`,"type":`)
	p.node(f.Type, space)
	if f.HasDoc && !p.plain {
		p.attr("doc", f.Doc)
	}
	if f.Default != nil {
		p.raw(`,"default":`)
		p.raw(string(f.Default))
	}
	if f.Order != "ascending" && !p.plain {
		p.attr("order", f.Order)
	}
	if len(f.Aliases) > 0 {
		p.raw(`,"aliases":`)
		p.strings(f.Aliases)
	}
	if !p.plain {
		p.props(f.Props)
	}
	p.raw("}")
}

func (p *printer) enum(n *Node, space string) {
	if p.reference(n, space) {
		return
	}
	p.begin(n, space)
	p.raw(`,"symbols":`)
	p.strings(n.Symbols)
	if n.EnumDefault != nil {
		p.attr("default", *n.EnumDefault)
	}
	p.end(n)
}

func (p *printer) fixed(n *Node, space string) {
	if p.reference(n, space) {
		return
	}
	p.begin(n, space)
	p.raw(`,"size":`)
	p.buf = strconv.AppendInt(p.buf, int64(n.Size), 10)
	p.end(n)
}

// end writes a named type's properties and aliases.
func (p *printer) end(n *Node) {
	p.nodeProps(n)
	if len(n.Aliases) > 0 {
		names := make([]string, len(n.Aliases))
		for i, a := range n.Aliases {
			ns, simple := splitName(a, "")
			names[i] = qualified(ns, simple, n.Namespace)
		}
		p.raw(`,"aliases":`)
		p.strings(names)
	}
	p.raw("}")
}

func (p *printer) strings(list []string) {
	p.raw("[")
	for i, s := range list {
		if i > 0 {
			p.raw(",")
		}
		p.string(s)
	}
	p.raw("]")
}

// nodeProps writes a type's properties.
func (p *printer) nodeProps(n *Node) {
	if !p.plain {
		p.props(n.Props)
		return
	}
	if !n.fits() {
		return
	}
	for _, pr := range n.Props {
		if pr.Name == "logicalType" || pr.Name == "precision" || pr.Name == "scale" {
			p.props([]Prop{pr})
		}
	}
}

func (p *printer) props(props []Prop) {
	for _, pr := range props {
		p.raw(",")
		p.string(pr.Name)
		p.raw(":")
		p.raw(string(pr.Value))
	}
}

// qualified returns the shortest text that means the name inside space. A
// simple name that is also the name of a kind of type is always written out.
func qualified(ns, simple, space string) string {
	if ns == "" {
		return simple
	}
	if ns == space && !isPrimitive(simple) && !isComplex(simple) {
		return simple
	}
	return ns + "." + simple
}

func isComplex(name string) bool {
	switch name {
	case "record", "enum", "array", "map", "union", "fixed":
		return true
	}
	return false
}
