// Package refusal says in plain words why a registry refused a schema. The
// registry's own reasons are pointers into a schema's JSON; whoever changed the
// schema wants to know the field.
package refusal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/internal/rest"
)

// Reason is why a schema was refused.
type Reason struct {
	// Messages are the registry's reasons, without the old schema's text.
	Messages []string
	// Version is the version that the schema is not compatible with, 0 where
	// unknown.
	Version int
	// Field is the path to what does not fit, and Detail says why; empty where
	// unknown.
	Field, Detail string
}

func (r Reason) String() string {
	var b strings.Builder
	if r.Version > 0 {
		fmt.Fprintf(&b, "version %d", r.Version)
		if r.Field != "" {
			fmt.Fprintf(&b, ", field %s", r.Field)
		}
		if r.Detail != "" {
			b.WriteString(": " + r.Detail)
		}
		b.WriteString("; the registry says: ")
	}
	b.WriteString(strings.Join(r.Messages, "; "))
	return b.String()
}

// Explain makes a Reason of err, with which the registry refused own under
// subject. What it cannot find out stays empty.
func Explain(ctx context.Context, client *rest.Client, subject string, own *codec.Schema, err error) Reason {
	var e *rest.Error
	if !errors.As(err, &e) {
		return Reason{Messages: []string{err.Error()}}
	}
	var r Reason
	for _, m := range split(e.Message) {
		name, rest, _ := strings.Cut(m, ":")
		switch name {
		case "oldSchemaVersion":
			r.Version, _ = strconv.Atoi(strings.TrimSpace(rest))
		case "oldSchema", "validateFields":
		default:
			r.Messages = append(r.Messages, m)
		}
	}
	old, err := client.Version(ctx, subject, r.Version)
	if err != nil {
		return r
	}
	r.Version = old.Version
	theirs, err := codec.Parse(old.Text)
	if err != nil {
		return r
	}
	var misfit *codec.ResolveError
	if _, err := codec.Resolve(theirs, own); errors.As(err, &misfit) {
		r.Field, r.Detail = misfit.Path, "the new schema cannot read old data: "+misfit.Reason()
	} else if _, err := codec.Resolve(own, theirs); errors.As(err, &misfit) {
		r.Field, r.Detail = misfit.Path, "the old schema cannot read new data: "+misfit.Reason()
	}
	return r
}

// split takes apart Confluent's message, one sentence with a list of {…} in
// it. The old schema's text, itself full of braces, comes after what matters.
func split(message string) []string {
	_, details, ok := strings.Cut(message, "details: [")
	if !ok {
		return []string{message}
	}
	var out []string
	for part := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(details), "]"), "}, {") {
		part = strings.TrimPrefix(part, "{")
		if strings.HasPrefix(part, "oldSchema:") {
			break
		}
		out = append(out, strings.TrimSuffix(part, "}"))
	}
	return out
}
