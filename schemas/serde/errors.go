package serde

import (
	"fmt"
	"strings"

	"github.com/quokka-stream/quokka/schemas/internal/refusal"
	"github.com/quokka-stream/quokka/schemas/internal/rest"
)

// UnavailableError says that the registry gave no answer. The same call may
// succeed later: a consumer waits and tries again, the record is not to blame.
type UnavailableError = rest.UnavailableError

// RegistryError is a refusal by the registry that has no type of its own here.
type RegistryError = rest.Error

// UnknownSchemaError says that the registry does not have a schema as this
// program has it, so nothing can be written with it.
type UnknownSchemaError struct {
	// Subject is where the schema should be, Event the type it describes.
	Subject, Event string
	// Version is the latest version under the subject, 0 for none. Field and
	// Detail say how the program's schema differs from that version.
	Version       int
	Field, Detail string
}

func (e *UnknownSchemaError) Error() string {
	var found string
	switch {
	case e.Version == 0:
		found = "the subject does not exist"
	case e.Field == "":
		found = fmt.Sprintf("its latest version %d differs: this program has %s", e.Version, e.Detail)
	default:
		found = fmt.Sprintf("its latest version %d differs: at field %s this program has %s", e.Version, e.Field, e.Detail)
	}
	return fmt.Sprintf("subject %s has no schema equal to this program's %s (%s); run: quokka schemas apply", e.Subject, e.Event, found)
}

// UnknownIDError says that the registry has no schema with the id a value
// carries. Right after registration that may change; else the value was
// written against another registry.
type UnknownIDError struct {
	ID int
}

func (e *UnknownIDError) Error() string {
	return fmt.Sprintf("the registry has no schema with id %d: was the value written against another registry?", e.ID)
}

// UnknownTypeError says that a value's type has no Go type in package events.
// A consumer skips it: the topic carries it for others.
type UnknownTypeError struct {
	// Name is the writer's full name.
	Name string
}

func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("no event type %s in this program", e.Name)
}

// DecodeError says that a value cannot be what its schema says. It will not get
// better by trying again.
type DecodeError struct {
	// ID is the schema id the value carries, 0 where it carries none.
	ID int
	// Name is the writer's full name, where known.
	Name string
	// Subject and Version are where that schema is registered, where known.
	Subject string
	Version int
	// Field is the path to what is wrong, where known.
	Field string
	// Err says what is wrong.
	Err error
}

func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("cannot decode value")
	if e.Name != "" {
		b.WriteString(" of " + e.Name)
	}
	if e.ID != 0 {
		fmt.Fprintf(&b, " (schema id %d", e.ID)
		if e.Subject != "" {
			fmt.Fprintf(&b, ", subject %s version %d", e.Subject, e.Version)
		}
		b.WriteString(")")
	}
	if e.Field != "" {
		b.WriteString(": field " + e.Field)
	}
	return b.String() + ": " + e.Err.Error()
}

func (e *DecodeError) Unwrap() error { return e.Err }

// IncompatibleError says that the registry refused a schema because readers or
// data of earlier versions would not survive it.
type IncompatibleError struct {
	// Subject is where it was refused.
	Subject string
	// Version is the version that it is not compatible with; Field the path to
	// what does not fit, Detail why. Zero where unknown.
	Version       int
	Field, Detail string
	// Messages are the registry's reasons.
	Messages []string
}

func (e *IncompatibleError) Error() string {
	r := refusal.Reason{Messages: e.Messages, Version: e.Version, Field: e.Field, Detail: e.Detail}
	return fmt.Sprintf("subject %s refuses the schema as incompatible: %s", e.Subject, r)
}
