package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A parser turns schema text into nodes by the rules of Java's Schema.Parser:
// which names a reference may mean, which attributes are properties.
type parser struct {
	names map[string]*Node // by full name, defined so far
}

// ErrUndefinedName says that a schema uses a type it does not define and was
// not given.
var ErrUndefinedName = errors.New("undefined name")

var (
	typeReserved  = set("doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type", "aliases")
	enumReserved  = set("doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type", "aliases", "default")
	fieldReserved = set("default", "doc", "name", "order", "type", "aliases")
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// parse reads a type where space is the namespace around it.
func (p *parser) parse(v value, space string) (*Node, error) {
	switch v.kind {
	case '"':
		return p.reference(v.text, space)
	case '[':
		return p.union(v, space)
	case '{':
		return p.object(v, space)
	}
	return nil, fmt.Errorf("not a schema: %s", appendJSON(nil, v))
}

// reference finds a primitive or a named type; a name without dots is looked
// for in the namespace around it, then in none.
func (p *parser) reference(name, space string) (*Node, error) {
	if isPrimitive(name) {
		return &Node{Type: name}, nil
	}
	if n := p.named(name, space); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrUndefinedName, name)
}

func (p *parser) named(name, space string) *Node {
	if !strings.Contains(name, ".") && space != "" {
		if n := p.names[space+"."+name]; n != nil {
			return n
		}
	}
	return p.names[strings.TrimPrefix(name, ".")]
}

func (p *parser) union(v value, space string) (*Node, error) {
	n := &Node{Type: "union"}
	seen := map[string]bool{}
	for _, item := range v.items {
		b, err := p.parse(item, space)
		if err != nil {
			return nil, err
		}
		if b.Type == "union" {
			return nil, errors.New("nested union")
		}
		if seen[b.FullName()] {
			return nil, fmt.Errorf("duplicate in union: %s", b.FullName())
		}
		seen[b.FullName()] = true
		n.Branches = append(n.Branches, b)
	}
	return n, nil
}

func (p *parser) object(v value, space string) (*Node, error) {
	typ, ok := v.get("type")
	if !ok || typ.kind != '"' {
		return nil, fmt.Errorf("no type: %s", appendJSON(nil, v))
	}
	n := &Node{Type: typ.text}
	reserved := typeReserved
	var err error
	switch typ.text {
	case "record", "error":
		err = p.record(n, v, space)
	case "enum":
		reserved = enumReserved
		err = p.enum(n, v, space)
	case "fixed":
		err = p.fixed(n, v, space)
	case "array":
		n.Elem, err = p.elem(v, "items", space)
	case "map":
		n.Elem, err = p.elem(v, "values", space)
	default:
		if !isPrimitive(typ.text) {
			if named := p.named(typ.text, space); named != nil {
				return named, nil
			}
			return nil, fmt.Errorf("%w: %q", ErrUndefinedName, typ.text)
		}
	}
	if err != nil {
		return nil, err
	}
	n.Props = props(v, reserved)
	return n, nil
}

func (p *parser) elem(v value, name, space string) (*Node, error) {
	e, ok := v.get(name)
	if !ok {
		return nil, fmt.Errorf("array or map without %s: %s", name, appendJSON(nil, v))
	}
	return p.parse(e, space)
}

// define reads name, namespace, aliases and doc, and makes the name known, so
// that the type's own fields may refer to it.
func (p *parser) define(n *Node, v value, space string) error {
	name, ok := v.get("name")
	if !ok || name.kind != '"' || name.text == "" {
		return fmt.Errorf("no name in schema: %s", appendJSON(nil, v))
	}
	if ns, ok := v.get("namespace"); ok && ns.kind == '"' {
		space = ns.text
	}
	n.Namespace, n.Name = splitName(name.text, space)
	if err := checkName(n.FullName()); err != nil {
		return err
	}
	if isPrimitive(n.Name) && n.Namespace == "" {
		return fmt.Errorf("schemas may not be named after primitives: %s", n.Name)
	}
	full := n.FullName()
	if p.names[full] != nil {
		return fmt.Errorf("can't redefine: %s", full)
	}
	p.names[full] = n
	aliases, err := stringList(v, "aliases")
	if err != nil {
		return fmt.Errorf("%s: %w", full, err)
	}
	for _, a := range aliases {
		ns, simple := splitName(a, n.Namespace)
		alias := simple
		if ns != "" {
			alias = ns + "." + simple
		}
		if err := checkName(alias); err != nil {
			return fmt.Errorf("%s: alias: %w", full, err)
		}
		n.Aliases = appendNew(n.Aliases, alias)
	}
	n.Doc, n.HasDoc = optionalText(v, "doc")
	return nil
}

func (p *parser) record(n *Node, v value, space string) error {
	if err := p.define(n, v, space); err != nil {
		return err
	}
	fields, ok := v.get("fields")
	if !ok || fields.kind != '[' {
		return fmt.Errorf("record %s has no fields", n.FullName())
	}
	seen := map[string]bool{}
	for _, fv := range fields.items {
		f, err := p.field(fv, n.Namespace)
		if err != nil {
			return fmt.Errorf("record %s: %w", n.FullName(), err)
		}
		if seen[f.Name] {
			return fmt.Errorf("duplicate field %s in record %s", f.Name, n.FullName())
		}
		seen[f.Name] = true
		n.Fields = append(n.Fields, f)
	}
	return nil
}

func (p *parser) field(v value, space string) (*Field, error) {
	name, ok := v.get("name")
	if !ok || name.kind != '"' {
		return nil, errors.New("no field name")
	}
	f := &Field{Name: name.text, Order: "ascending"}
	if err := checkName(f.Name); err != nil || strings.Contains(f.Name, ".") {
		return nil, fmt.Errorf("illegal field name %q", f.Name)
	}
	typ, ok := v.get("type")
	if !ok {
		return nil, fmt.Errorf("field %s: no field type", f.Name)
	}
	var err error
	if f.Type, err = p.parse(typ, space); err != nil {
		return nil, fmt.Errorf("field %s: %w", f.Name, err)
	}
	f.Doc, f.HasDoc = optionalText(v, "doc")
	if def, ok := v.get("default"); ok {
		f.Default = fieldDefault(f.Type, def)
	}
	if order, ok := v.get("order"); ok {
		f.Order = strings.ToLower(order.text)
		if f.Order != "ascending" && f.Order != "descending" && f.Order != "ignore" {
			return nil, fmt.Errorf("field %s: order %q", f.Name, order.text)
		}
	}
	aliases, err := stringList(v, "aliases")
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", f.Name, err)
	}
	for _, a := range aliases {
		f.Aliases = appendNew(f.Aliases, a)
	}
	f.Props = props(v, fieldReserved)
	return f, nil
}

// fieldDefault prints a default; Java reads the text "NaN" or "1.5" given for
// a float or double as a number.
func fieldDefault(n *Node, v value) json.RawMessage {
	if v.kind == '"' && (n.Type == "float" || n.Type == "double") {
		if f, err := strconv.ParseFloat(v.text, 64); err == nil && f-f == 0 {
			return json.RawMessage(javaDouble(f))
		}
	}
	return appendJSON(nil, v)
}

func (p *parser) enum(n *Node, v value, space string) error {
	if err := p.define(n, v, space); err != nil {
		return err
	}
	var err error
	if n.Symbols, err = stringList(v, "symbols"); err != nil {
		return fmt.Errorf("enum %s: %w", n.FullName(), err)
	}
	if n.Symbols == nil {
		return fmt.Errorf("enum %s has no symbols", n.FullName())
	}
	seen := map[string]bool{}
	for _, s := range n.Symbols {
		if err := checkName(s); err != nil || strings.Contains(s, ".") {
			return fmt.Errorf("enum %s: illegal symbol %q", n.FullName(), s)
		}
		if seen[s] {
			return fmt.Errorf("enum %s: duplicate symbol %s", n.FullName(), s)
		}
		seen[s] = true
	}
	if def, ok := v.get("default"); ok {
		if def.kind != '"' || !seen[def.text] {
			return fmt.Errorf("enum %s: the default %s is not one of the symbols", n.FullName(), appendJSON(nil, def))
		}
		n.EnumDefault = &def.text
	}
	return nil
}

func (p *parser) fixed(n *Node, v value, space string) error {
	if err := p.define(n, v, space); err != nil {
		return err
	}
	size, ok := v.get("size")
	if !ok || size.kind != '0' {
		return fmt.Errorf("fixed %s: invalid or no size", n.FullName())
	}
	s, err := strconv.ParseInt(size.text, 10, 32)
	if err != nil || s < 0 {
		return fmt.Errorf("fixed %s: invalid size %s", n.FullName(), size.text)
	}
	n.Size = int(s)
	return nil
}

func props(v value, reserved map[string]bool) []Prop {
	var out []Prop
	for _, m := range v.members {
		if !reserved[m.name] {
			out = append(out, Prop{m.name, appendJSON(nil, m.value)})
		}
	}
	return out
}

func optionalText(v value, name string) (string, bool) {
	t, ok := v.get(name)
	return t.text, ok && t.kind == '"'
}

func stringList(v value, name string) ([]string, error) {
	l, ok := v.get(name)
	if !ok {
		return nil, nil
	}
	if l.kind != '[' {
		return nil, fmt.Errorf("%s is not an array", name)
	}
	out := make([]string, 0, len(l.items))
	for _, item := range l.items {
		if item.kind != '"' {
			return nil, fmt.Errorf("%s holds %s, not a name", name, appendJSON(nil, item))
		}
		out = append(out, item.text)
	}
	return out, nil
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

// splitName returns namespace and simple name; a dotted name brings its own
// namespace.
func splitName(name, space string) (ns, simple string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return space, name
}

// checkName accepts dot-separated names of letters, digits and underscores
// that do not begin with a digit.
func checkName(full string) error {
	for part := range strings.SplitSeq(full, ".") {
		if part == "" {
			return fmt.Errorf("illegal name %q: empty part", full)
		}
		for i := range len(part) {
			c := part[i]
			letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
			if !letter && (i == 0 || c < '0' || c > '9') {
				return fmt.Errorf("illegal character %q in name %q", c, full)
			}
		}
	}
	return nil
}
