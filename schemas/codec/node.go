package codec

import "encoding/json"

// Node is one type of a parsed schema, with everything its text said and in
// that order, which is what printing it as Java does and comparing it by the
// Java rules need. A named type is one Node however often it is referred to,
// so a recursive schema is a cyclic graph. Nodes are shared and read-only.
type Node struct {
	// Type is a primitive name, or record, error, enum, fixed, array, map or
	// union.
	Type string
	// Name and Namespace are those of a record, error, enum or fixed; the
	// namespace is "" for none.
	Name, Namespace string
	// Aliases are full names, in order.
	Aliases []string
	// Doc is meaningful where HasDoc: an empty doc is not an absent one.
	Doc    string
	HasDoc bool
	// Fields of a record or error.
	Fields []*Field
	// Symbols of an enum, and the one a reader takes for a symbol it does not
	// know, nil for none.
	Symbols     []string
	EnumDefault *string
	// Size of a fixed.
	Size int
	// Elem is the type of an array's items or of a map's values.
	Elem *Node
	// Branches of a union.
	Branches []*Node
	// Props are the attributes Avro gives no meaning in this place, logicalType
	// among them.
	Props []Prop
}

// Field is a field of a record.
type Field struct {
	// Name is the field's name.
	Name string
	// Aliases are other names a reader accepts in a writer's schema.
	Aliases []string
	// Doc is meaningful where HasDoc.
	Doc    string
	HasDoc bool
	// Type is the field's type.
	Type *Node
	// Default is the JSON of the default, nil for none ("null" is a default).
	Default json.RawMessage
	// Order is ascending, descending or ignore.
	Order string
	// Props are the other attributes.
	Props []Prop
}

// Prop is an attribute and its JSON value, printed as Jackson prints it.
type Prop struct {
	Name  string
	Value json.RawMessage
}

// FullName returns namespace and name joined by a dot, the type for an unnamed
// type.
func (n *Node) FullName() string {
	switch {
	case n.Name == "":
		return n.Type
	case n.Namespace == "":
		return n.Name
	default:
		return n.Namespace + "." + n.Name
	}
}

// Named reports whether the node is a type with a name.
func (n *Node) Named() bool { return n.Name != "" }

// IsRecord reports whether the node is a record or an error.
func (n *Node) IsRecord() bool { return n.Type == "record" || n.Type == "error" }

// Prop returns the value of an attribute, nil where there is none.
func (n *Node) Prop(name string) json.RawMessage { return findProp(n.Props, name) }

// LogicalType returns the value of logicalType, "" where there is none. It is
// not checked against the type: Avro ignores a logical type that does not fit.
func (n *Node) LogicalType() string {
	var s string
	if json.Unmarshal(n.Prop("logicalType"), &s) != nil {
		return ""
	}
	return s
}

// Prop returns the value of an attribute, nil where there is none.
func (f *Field) Prop(name string) json.RawMessage { return findProp(f.Props, name) }

// Field returns the field of this name, or nil.
func (n *Node) Field(name string) *Field {
	for _, f := range n.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func findProp(props []Prop, name string) json.RawMessage {
	for _, p := range props {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}

func isPrimitive(name string) bool {
	switch name {
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
		return true
	}
	return false
}
