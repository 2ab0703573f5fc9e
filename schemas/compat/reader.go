package compat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// Limits that keep hostile schemas from costing more than their size: two
// unions of n branches make n² pairs, and nested types that are used twice
// double the list of findings at every level.
const (
	maxPairs    = 200_000
	maxFindings = 1_000
)

// CanRead returns every reason why data written with writer may not be readable
// with reader, nil if it always is.
func CanRead(reader, writer *codec.Schema) []Incompatibility {
	c := checker{seen: map[pair][]Incompatibility{}}
	found := c.compare(location{}, reader.Root(), writer.Root())
	if c.err != nil {
		return []Incompatibility{*c.err}
	}
	return found
}

// pair is what results are remembered by: a named type is one node however
// often it is used, so recursion comes back to the same pair.
type pair struct{ reader, writer *codec.Node }

type checker struct {
	// seen holds the findings of each pair. A pair under way has none yet:
	// recursion is compatible unless something else proves otherwise.
	seen map[pair][]Incompatibility
	// err ends the comparison: a question the rules do not answer.
	err *Incompatibility
}

// location is where in the reader's schema a comparison is, as a JSON pointer
// and as a path of field names.
type location struct{ pointer, path string }

func (l location) at(token string) location {
	token = strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
	return location{pointer: l.pointer + "/" + token, path: l.path}
}

func (l location) field(f *codec.Field) location {
	path := f.Name
	if l.path != "" {
		path = l.path + "." + f.Name
	}
	return location{pointer: l.pointer, path: path}
}

func (l location) elements() location {
	return location{pointer: l.pointer, path: l.path + "[]"}
}

func (l location) finding(rule Rule, detail string) []Incompatibility {
	pointer := l.pointer
	if pointer == "" {
		pointer = "/"
	}
	return []Incompatibility{{Rule: rule, Location: pointer, Path: l.path, Detail: detail}}
}

// compare returns the findings for a pair of types. Findings are kept with the
// location at which the pair was first met and repeated wherever it is met
// again, as Java does.
func (c *checker) compare(at location, reader, writer *codec.Node) []Incompatibility {
	if c.err != nil {
		return nil
	}
	p := pair{reader, writer}
	if found, ok := c.seen[p]; ok {
		return found
	}
	if len(c.seen) >= maxPairs {
		c.fail(at, fmt.Sprintf("the schemas are too complex: more than %d pairs of types to compare", maxPairs))
		return nil
	}
	c.seen[p] = nil
	found := c.types(at, reader, writer)
	if len(found) > maxFindings {
		found = found[:maxFindings]
	}
	c.seen[p] = found
	return found
}

func (c *checker) fail(at location, detail string) {
	c.err = &at.finding(undecided, detail)[0]
}

func (c *checker) types(at location, reader, writer *codec.Node) []Incompatibility {
	if kind(reader) == kind(writer) {
		switch kind(reader) {
		case "array":
			return c.compare(at.at("items").elements(), reader.Elem, writer.Elem)
		case "map":
			return c.compare(at.at("values").elements(), reader.Elem, writer.Elem)
		case "fixed":
			return append(c.names(at, reader, writer), c.sizes(at, reader, writer)...)
		case "enum":
			return append(c.names(at, reader, writer), c.symbols(at, reader, writer)...)
		case "record":
			return append(c.names(at, reader, writer), c.fields(at, reader, writer)...)
		case "union":
			return c.unions(at, reader, writer)
		default:
			return nil
		}
	}
	if kind(writer) == "union" {
		var found []Incompatibility
		for i, branch := range writer.Branches {
			found = append(found, c.compare(at.at(strconv.Itoa(i)), reader, branch)...)
		}
		return found
	}
	if kind(reader) == "union" {
		for _, branch := range reader.Branches {
			if len(c.compare(location{path: at.path}, branch, writer)) == 0 {
				return nil
			}
		}
		return at.finding(MissingUnionBranch, "reader union lacking writer type: "+javaType(writer))
	}
	if widens(kind(writer), kind(reader)) {
		return nil
	}
	return at.finding(TypeMismatch, fmt.Sprintf("reader type: %s not compatible with writer type: %s", javaType(reader), javaType(writer)))
}

// unions reports each branch of the writer's union that no branch of the
// reader's takes.
func (c *checker) unions(at location, reader, writer *codec.Node) []Incompatibility {
	var found []Incompatibility
	for i, branch := range writer.Branches {
		if len(c.compare(location{path: at.path}, reader, branch)) > 0 {
			found = append(found, at.at(strconv.Itoa(i)).finding(MissingUnionBranch, "reader union lacking writer type: "+javaType(branch))...)
		}
	}
	return found
}

// widens reports whether a value written as one primitive is read as another.
func widens(writer, reader string) bool {
	switch reader {
	case "long":
		return writer == "int"
	case "float":
		return writer == "int" || writer == "long"
	case "double":
		return writer == "int" || writer == "long" || writer == "float"
	case "bytes":
		return writer == "string"
	case "string":
		return writer == "bytes"
	}
	return false
}

func (c *checker) names(at location, reader, writer *codec.Node) []Incompatibility {
	if reader.Name == writer.Name || slices.Contains(reader.Aliases, writer.FullName()) {
		return nil
	}
	return at.at("name").finding(NameMismatch, "expected: "+writer.FullName())
}

func (c *checker) sizes(at location, reader, writer *codec.Node) []Incompatibility {
	if reader.Size == writer.Size {
		return nil
	}
	return at.at("size").finding(FixedSizeMismatch, fmt.Sprintf("expected: %d, found: %d", writer.Size, reader.Size))
}

func (c *checker) symbols(at location, reader, writer *codec.Node) []Incompatibility {
	if reader.EnumDefault != nil && slices.Contains(reader.Symbols, *reader.EnumDefault) {
		return nil
	}
	known := make(map[string]bool, len(reader.Symbols))
	for _, s := range reader.Symbols {
		known[s] = true
	}
	var missing []string
	for _, s := range writer.Symbols {
		if !known[s] {
			missing = append(missing, s)
		}
	}
	if missing == nil {
		return nil
	}
	slices.Sort(missing)
	return at.at("symbols").finding(MissingEnumSymbols, "["+strings.Join(missing, ", ")+"]")
}

func (c *checker) fields(at location, reader, writer *codec.Node) []Incompatibility {
	written := make(map[string]*codec.Field, len(writer.Fields))
	for _, f := range writer.Fields {
		written[f.Name] = f
	}
	var found []Incompatibility
	for i, f := range reader.Fields {
		here := at.at("fields").at(strconv.Itoa(i)).field(f)
		from, ambiguous := lookup(written, f)
		switch {
		case ambiguous:
			c.fail(here, fmt.Sprintf("Reader record field %s type:%s pos:%d matches multiple fields in writer record schema %s",
				f.Name, javaType(f.Type), i, writer.FullName()))
			return nil
		case from != nil:
			found = append(found, c.compare(here.at("type"), f.Type, from.Type)...)
		case f.Default != nil:
		case f.Type.Type == "enum" && f.Type.EnumDefault != nil:
			// Java compares the enum with the writer's record here, which
			// never fits: an enum's default stands in for symbols, not for
			// the field.
			found = append(found, c.compare(here.at("type"), f.Type, writer)...)
		default:
			found = append(found, here.finding(ReaderFieldMissingDefault, f.Name)...)
		}
		if len(found) > maxFindings {
			break
		}
	}
	return found
}

// lookup finds the writer's field for a reader's by name and aliases.
func lookup(written map[string]*codec.Field, f *codec.Field) (from *codec.Field, ambiguous bool) {
	from = written[f.Name]
	for _, alias := range f.Aliases {
		if w := written[alias]; w != nil {
			if from != nil {
				return nil, true
			}
			from = w
		}
	}
	return from, false
}

// kind is the type by which nodes are compared: an error is a record.
func kind(n *codec.Node) string {
	if n.IsRecord() {
		return "record"
	}
	return n.Type
}

// javaType is the type's name in Java's Schema.Type.
func javaType(n *codec.Node) string { return strings.ToUpper(kind(n)) }
