// Package codec reads and writes Avro: it parses schemas, prints them in the
// form by which a schema registry tells them apart, resolves a writer's schema
// against a reader's, and encodes and decodes values.
//
// The binary codec itself is github.com/twmb/avro, in twmb.go, behind Codec.
// It maps Avro records to structs by their `avro` tags or to map[string]any,
// timestamps to time.Time, and a nullable type to a pointer.
package codec

import (
	"errors"
	"fmt"
)

// A Codec encodes and decodes the values of one schema. It is safe for
// concurrent use.
type Codec interface {
	// AppendEncode appends the encoding of v to dst.
	AppendEncode(dst []byte, v any) ([]byte, error)
	// Decode fills *v from src, all of which must be one value: bytes left
	// over are ErrTrailingBytes. A v of type *any gets the generic form.
	Decode(src []byte, v any) error
}

// ErrTrailingBytes says that a value was followed by bytes the schema does not
// account for, so it was not written with that schema.
var ErrTrailingBytes = errors.New("bytes are left after the value")

// Schema is a parsed schema. It is immutable and safe for concurrent use.
type Schema struct {
	Codec
	root      *Node
	given     []string // full names of the schemas it was parsed with
	canonical string
	inline    string
}

// Parse parses a schema. It may use the named types of refs, which are schemas
// of their own.
func Parse(text string, refs ...*Schema) (*Schema, error) {
	s, err := ParseLoose(text, refs...)
	if err != nil {
		return nil, err
	}
	// The codec gets what bears on values and no more, so that it sees a
	// schema exactly as it was understood here.
	if s.Codec, err = newTwmb(printNode(s.root, nil, true)); err != nil {
		return nil, fmt.Errorf("avro: %w", err)
	}
	return s, nil
}

// ParseLoose parses a schema that is only looked at, not written or read with:
// defaults are not checked against their types, and its Codec answers every
// call with ErrLoose. A registry must understand schemas that others let in.
func ParseLoose(text string, refs ...*Schema) (*Schema, error) {
	v, err := parseJSON(text)
	if err != nil {
		return nil, fmt.Errorf("avro: %w", err)
	}
	p := &parser{names: map[string]*Node{}}
	s := &Schema{Codec: loose{}}
	for _, r := range refs {
		collect(r.root, p.names)
		s.given = append(append(s.given, r.given...), r.FullName())
	}
	if s.root, err = p.parse(v, ""); err != nil {
		return nil, fmt.Errorf("avro: %w", err)
	}
	s.inline = printNode(s.root, nil, false)
	s.canonical = s.inline
	if len(refs) > 0 {
		// As Java has it, only the schemas themselves are known by name, not
		// the types defined inside them.
		given := make(map[string]bool, len(s.given))
		for _, name := range s.given {
			given[name] = true
		}
		s.canonical = printNode(s.root, given, false)
	}
	return s, nil
}

// ErrLoose says that a schema was parsed by ParseLoose.
var ErrLoose = errors.New("avro: the schema was parsed for inspection only")

type loose struct{}

func (loose) AppendEncode([]byte, any) ([]byte, error) { return nil, ErrLoose }
func (loose) Decode([]byte, any) error                 { return ErrLoose }

// MustParse is Parse for schemas that are part of the program.
func MustParse(text string, refs ...*Schema) *Schema {
	s, err := Parse(text, refs...)
	if err != nil {
		panic(err)
	}
	return s
}

// Root returns the schema's type. It is shared: do not change it.
func (s *Schema) Root() *Node { return s.root }

// FullName returns the full name of a named type, the type of any other.
func (s *Schema) FullName() string { return s.root.FullName() }

// String returns the canonical text, byte for byte what Java's
// Schema.toString() gives: docs, defaults, aliases and properties kept, names
// and primitive types as short as they can be, and the types of other schemas
// by name only.
func (s *Schema) String() string { return s.canonical }

// Inline returns the text with the referenced types written out where they are
// first used, so that it can be parsed alone.
func (s *Schema) Inline() string { return s.inline }

// Resolve returns the codec that decodes what was written with writer into the
// shape of reader: fields found by name or alias, numbers widened, missing
// fields filled by their defaults. It encodes by reader. The error says which
// part of the two does not fit.
func Resolve(writer, reader *Schema) (Codec, error) {
	w, ok := writer.Codec.(twmb)
	if !ok {
		return nil, fmt.Errorf("avro: %T cannot resolve", writer.Codec)
	}
	r, ok := reader.Codec.(twmb)
	if !ok {
		return nil, fmt.Errorf("avro: %T cannot resolve", reader.Codec)
	}
	return w.resolve(r)
}

// collect adds the named types that n defines or uses.
func collect(n *Node, into map[string]*Node) {
	if n == nil {
		return
	}
	if n.Named() {
		if into[n.FullName()] != nil {
			return
		}
		into[n.FullName()] = n
	}
	for _, f := range n.Fields {
		collect(f.Type, into)
	}
	collect(n.Elem, into)
	for _, b := range n.Branches {
		collect(b, into)
	}
}

// printNode prints n, taking the types in given as known.
func printNode(n *Node, given map[string]bool, plain bool) string {
	known := make(map[string]bool, len(given))
	for name := range given {
		known[name] = true
	}
	p := &printer{known: known, plain: plain}
	p.node(n, "")
	return string(p.buf)
}
