package compat

import (
	"fmt"
	"strings"
)

// Rule names a rule of schema resolution that a pair of schemas breaks, by
// Java's SchemaIncompatibilityType.
type Rule string

// The rules.
const (
	NameMismatch              Rule = "NAME_MISMATCH"
	FixedSizeMismatch         Rule = "FIXED_SIZE_MISMATCH"
	MissingEnumSymbols        Rule = "MISSING_ENUM_SYMBOLS"
	ReaderFieldMissingDefault Rule = "READER_FIELD_MISSING_DEFAULT_VALUE"
	TypeMismatch              Rule = "TYPE_MISMATCH"
	MissingUnionBranch        Rule = "MISSING_UNION_BRANCH"

	// undecided marks schemas that the rules cannot compare.
	undecided Rule = "UNDECIDED"
)

// Incompatibility is one reason why a reader cannot read what a writer wrote.
type Incompatibility struct {
	// Rule is the rule broken.
	Rule Rule
	// Location is the place in the reader's schema as a JSON pointer.
	Location string
	// Path is the same place as field names, such as lines[].sku; empty for
	// the schema itself.
	Path string
	// Detail is what differs, in Java's words.
	Detail string
}

// Explain says in a sentence what is wrong and what helps, where reader and
// writer say which schema is which, such as "new" and "old".
func (i Incompatibility) Explain(reader, writer string) string {
	switch i.Rule {
	case ReaderFieldMissingDefault:
		return fmt.Sprintf("the %s schema has the field, the %s one does not, and there is no default to read in its place: give it a default", reader, writer)
	case TypeMismatch:
		return fmt.Sprintf("the type cannot change so (%s): add a field of the new type and keep this one", strings.ToLower(i.Detail))
	case NameMismatch:
		return fmt.Sprintf("the type was renamed (%s): keep the name, or list the old full name in aliases", i.Detail)
	case MissingEnumSymbols:
		return fmt.Sprintf("the %s schema does not know the symbols %s of the %s one: keep them, or give the enum a default", reader, i.Detail, writer)
	case FixedSizeMismatch:
		return fmt.Sprintf("the size of a fixed cannot change (%s)", i.Detail)
	case MissingUnionBranch:
		return fmt.Sprintf("the %s schema's type takes no value of a type that the %s one may write (%s)", reader, writer, strings.ToLower(i.Detail))
	default:
		return i.Detail
	}
}

// message is Confluent's wording; tools parse it.
func (i Incompatibility) message(reader, writer string) string {
	var what string
	switch i.Rule {
	case FixedSizeMismatch:
		what = fmt.Sprintf("The size of FIXED type field at path '%s' in the %s schema does not match with the %s schema", i.Location, reader, writer)
	case TypeMismatch:
		what = fmt.Sprintf("The type (path '%s') of a field in the %s schema does not match with the %s schema", i.Location, reader, writer)
	case NameMismatch:
		what = fmt.Sprintf("The name of the schema has changed (path '%s')", i.Location)
	case MissingEnumSymbols:
		what = fmt.Sprintf("The %s schema is missing enum symbols '%s' at path '%s' in the %s schema", reader, i.Detail, i.Location, writer)
	case MissingUnionBranch:
		what = fmt.Sprintf("The %s schema is missing a type inside a union field at path '%s' in the %s schema", reader, i.Location, writer)
	case ReaderFieldMissingDefault:
		what = fmt.Sprintf("The field '%s' at path '%s' in the %s schema has no default value and is missing in the %s schema", i.Detail, i.Location, reader, writer)
	default:
		return "Unexpected exception during compatibility check: " + i.Detail
	}
	return fmt.Sprintf("{errorType:'%s', description:'%s', additionalInfo:'%s'}", i.Rule, what, i.Detail)
}
