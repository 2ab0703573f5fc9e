package registry

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// normalize returns the text that differently ordered or spelled forms of one
// schema share, as Confluent defines it: attributes in a fixed order, full
// names, aliases and properties sorted, an empty doc dropped. Names in given are
// defined elsewhere.
func normalize(root *codec.Node, given []string) string {
	n := &normalizer{known: map[string]bool{}}
	for _, name := range given {
		n.known[name] = true
	}
	n.node(root)
	return n.out.String()
}

type normalizer struct {
	out   bytes.Buffer
	known map[string]bool
}

func (n *normalizer) raw(s string)    { n.out.WriteString(s) }
func (n *normalizer) string(s string) { n.out.Write(appendJackson(nil, s)) }
func (n *normalizer) attr(name, s string) {
	n.raw(`,"` + name + `":`)
	n.string(s)
}

func (n *normalizer) node(t *codec.Node) {
	switch t.Type {
	case "union":
		n.raw("[")
		for i, b := range t.Branches {
			if i > 0 {
				n.raw(",")
			}
			n.node(b)
		}
		n.raw("]")
	case "array", "map":
		part := "items"
		if t.Type == "map" {
			part = "values"
		}
		n.raw(`{"type":"` + t.Type + `","` + part + `":`)
		n.node(t.Elem)
		n.logical(t)
		n.props(t.Props)
		n.raw("}")
	case "record", "error", "enum", "fixed":
		n.named(t)
	default:
		if len(t.Props) == 0 {
			n.string(t.Type)
			return
		}
		n.raw(`{"type":`)
		n.string(t.Type)
		n.logical(t)
		n.props(t.Props)
		n.raw("}")
	}
}

func (n *normalizer) named(t *codec.Node) {
	name := t.FullName()
	if n.known[name] {
		n.string(name)
		return
	}
	n.known[name] = true
	n.raw(`{"name":`)
	n.string(name)
	kind := t.Type
	if t.IsRecord() {
		kind = "record"
	}
	n.attr("type", kind)
	switch kind {
	case "enum":
		n.raw(`,"symbols":`)
		n.strings(t.Symbols)
	case "fixed":
		n.raw(`,"size":` + strconv.Itoa(t.Size))
	default:
		n.raw(`,"fields":[`)
		for i, f := range t.Fields {
			if i > 0 {
				n.raw(",")
			}
			n.field(f)
		}
		n.raw("]")
	}
	n.logical(t)
	if t.Doc != "" {
		n.attr("doc", t.Doc)
	}
	if len(t.Aliases) > 0 {
		n.raw(`,"aliases":`)
		n.strings(slices.Sorted(slices.Values(t.Aliases)))
	}
	if t.EnumDefault != nil {
		n.attr("default", *t.EnumDefault)
	}
	n.props(t.Props)
	n.raw("}")
}

func (n *normalizer) field(f *codec.Field) {
	n.raw(`{"name":`)
	n.string(f.Name)
	n.raw(`,"type":`)
	n.node(f.Type)
	n.attr("order", f.Order)
	if f.HasDoc {
		n.attr("doc", f.Doc)
	}
	if len(f.Aliases) > 0 {
		n.raw(`,"aliases":`)
		n.strings(slices.Sorted(slices.Values(f.Aliases)))
	}
	if f.Default != nil {
		n.raw(`,"default":`)
		n.value(f.Default)
	}
	n.props(f.Props)
	n.raw("}")
}

func (n *normalizer) strings(list []string) {
	n.raw("[")
	for i, s := range list {
		if i > 0 {
			n.raw(",")
		}
		n.string(s)
	}
	n.raw("]")
}

// logical puts a valid logical type's attributes before the other properties;
// they are repeated among those, where the second does not move the first.
func (n *normalizer) logical(t *codec.Node) {
	name := t.LogicalType()
	if !validLogical(t, name) {
		return
	}
	n.attr("logicalType", name)
	if name != "decimal" {
		return
	}
	for _, p := range []string{"precision", "scale"} {
		if v := t.Prop(p); v != nil && string(v) != "0" {
			n.raw(`,"` + p + `":` + string(v))
		}
	}
}

func validLogical(t *codec.Node, name string) bool {
	switch name {
	case "uuid":
		return t.Type == "string" || t.Type == "fixed" && t.Size == 16
	case "decimal":
		precision, err := strconv.Atoi(string(t.Prop("precision")))
		if err != nil || precision <= 0 {
			return false
		}
		scale := 0
		if v := t.Prop("scale"); v != nil {
			if scale, err = strconv.Atoi(string(v)); err != nil {
				return false
			}
		}
		return (t.Type == "bytes" || t.Type == "fixed") && scale >= 0 && scale <= precision
	case "big-decimal":
		return t.Type == "bytes"
	case "duration":
		return t.Type == "fixed" && t.Size == 12
	case "date", "time-millis":
		return t.Type == "int"
	case "time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
		"local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos":
		return t.Type == "long"
	}
	return false
}

func (n *normalizer) props(props []codec.Prop) {
	sorted := slices.Clone(props)
	slices.SortFunc(sorted, func(a, b codec.Prop) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	for _, p := range sorted {
		n.raw(",")
		n.string(p.Name)
		n.raw(":")
		n.value(p.Value)
	}
}

// value writes JSON with the members of objects sorted.
func (n *normalizer) value(raw json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		n.out.Write(raw)
		return
	}
	n.out.Write(marshal(v))
}
