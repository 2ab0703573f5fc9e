package compat

import (
	"strconv"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// maxQuoted bounds how much of an old schema a message repeats.
const maxQuoted = 10 * 1024

// Version is an existing version of a subject.
type Version struct {
	// Number is the version number, 0 for a schema that has none.
	Number int
	// Schema is the parsed schema.
	Schema *codec.Schema
}

// Problem is one incompatibility between the new schema and an old version.
type Problem struct {
	Incompatibility
	// Version is the old version's number.
	Version int
	// Reader and Writer are "new" and "old", or the other way round.
	Reader, Writer string
}

// Explain says in a sentence what is wrong and what helps.
func (p Problem) Explain() string { return p.Incompatibility.Explain(p.Reader, p.Writer) }

// Compare returns the problems that level finds between next and the previous
// versions, given oldest first. It compares with the newest first and stops at
// the first version that does not fit.
func Compare(level Level, next *codec.Schema, previous []Version) []Problem {
	if !level.backward() && !level.forward() {
		return nil
	}
	for i := len(previous) - 1; i >= 0; i-- {
		if found := compareOne(level, next, previous[i]); len(found) > 0 {
			return found
		}
		if !level.Transitive() {
			break
		}
	}
	return nil
}

func compareOne(level Level, next *codec.Schema, old Version) []Problem {
	var found []Problem
	if level.forward() {
		for _, i := range CanRead(old.Schema, next) {
			found = append(found, Problem{Incompatibility: i, Version: old.Number, Reader: "old", Writer: "new"})
		}
	}
	if level.backward() {
		for _, i := range CanRead(next, old.Schema) {
			found = append(found, Problem{Incompatibility: i, Version: old.Number, Reader: "new", Writer: "old"})
		}
	}
	return found
}

// Check is Compare in the words of Confluent Schema Registry: one message for
// each problem, then which old version and schema it was compared with. Nil
// means compatible.
func Check(level Level, next *codec.Schema, previous []Version) []string {
	problems := Compare(level, next, previous)
	if len(problems) == 0 {
		return nil
	}
	messages := make([]string, 0, len(problems)+2)
	for _, p := range problems {
		messages = append(messages, p.message(p.Reader, p.Writer))
	}
	// At the full levels the old schema is quoted after the backward half only,
	// so that it appears once; and not at all where only the forward half
	// failed.
	last := problems[len(problems)-1]
	if level.backward() && last.Reader == "old" {
		return messages
	}
	for _, v := range previous {
		if v.Number != last.Version {
			continue
		}
		if v.Number > 0 {
			messages = append(messages, "{oldSchemaVersion: "+strconv.Itoa(v.Number)+"}")
		}
		text := v.Schema.String()
		if len(text) <= maxQuoted {
			messages = append(messages, "{oldSchema: '"+text+"'}")
		} else {
			messages = append(messages, "{oldSchema: <truncated> '"+text[:maxQuoted]+"...'}")
		}
		break
	}
	return messages
}
