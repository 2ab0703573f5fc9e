// Package compat decides whether data written with one Avro schema can be read
// with another, by the rules of Java's SchemaCompatibility, which is what every
// Confluent-compatible registry applies:
//
//   - a reader's name matches a writer's by simple name, or by a reader alias
//     that is the writer's full name; writer aliases play no part
//   - int widens to long, float and double, long to float and double, float to
//     double; string and bytes read each other
//   - a reader's field is found by its name or one of its aliases, else it needs
//     a default; a writer's field that the reader does not know is skipped
//   - a reader's enum must know every symbol of the writer's, or have a default
//   - every branch of a writer's union must be readable, by any branch of the
//     reader's
//   - logical types are not compared
//
// CanRead compares two schemas and reports all that is wrong; Check applies one
// of the seven compatibility levels to a subject's versions and words the
// result as Confluent Schema Registry does.
package compat

import (
	"fmt"
	"strings"
)

// Level says which versions of a subject must be able to read which others.
type Level string

// The levels. Backward: the new version reads what old versions wrote, so
// readers are upgraded first. Forward: old versions read what the new one
// writes, so writers are upgraded first. Full: both. A transitive level compares
// with every version, the others with the latest only.
const (
	None               Level = "NONE"
	Backward           Level = "BACKWARD"
	BackwardTransitive Level = "BACKWARD_TRANSITIVE"
	Forward            Level = "FORWARD"
	ForwardTransitive  Level = "FORWARD_TRANSITIVE"
	Full               Level = "FULL"
	FullTransitive     Level = "FULL_TRANSITIVE"
)

// Levels returns the seven levels.
func Levels() []Level {
	return []Level{None, Backward, BackwardTransitive, Forward, ForwardTransitive, Full, FullTransitive}
}

// ParseLevel returns the level of this name, in any case.
func ParseLevel(name string) (Level, error) {
	for _, l := range Levels() {
		if strings.EqualFold(name, string(l)) {
			return l, nil
		}
	}
	return "", fmt.Errorf("unknown compatibility level %q: use one of %v", name, Levels())
}

// Transitive reports whether the level compares with all versions.
func (l Level) Transitive() bool {
	return l == BackwardTransitive || l == ForwardTransitive || l == FullTransitive
}

// backward reports whether the new version must read the old ones.
func (l Level) backward() bool {
	return l == Backward || l == BackwardTransitive || l == Full || l == FullTransitive
}

// forward reports whether the old versions must read the new one.
func (l Level) forward() bool {
	return l == Forward || l == ForwardTransitive || l == Full || l == FullTransitive
}
