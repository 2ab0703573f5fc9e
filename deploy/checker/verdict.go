package checker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Invariant is one of the promises that Check holds the facts against.
type Invariant string

// The invariants, in the order in which they are reported.
const (
	Lost      Invariant = "lost"
	Duplicate Invariant = "duplicate effect"
	Inversion Invariant = "order inversion"
	Stock     Invariant = "stock not conserved"
	Index     Invariant = "index stale"
)

var invariants = []Invariant{Lost, Duplicate, Inversion, Stock, Index}

// Violation is one broken promise.
type Violation struct {
	Invariant Invariant
	// Subject is what it happened to: an order, an event, a sku, a group's partition.
	Subject string
	Detail  string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s: %s", v.Invariant, v.Subject, v.Detail)
}

// Verdict is the outcome of a check.
type Verdict struct {
	// Violations are sorted by invariant and subject; one subject has one
	// violation of an invariant, with all that was found.
	Violations []Violation
	// MailRedeliveries counts deliveries of a mail that had been delivered: the
	// one effect that can happen again, when a crash falls between the SMTP
	// server's answer and the sender's note of it.
	MailRedeliveries int
}

// OK reports whether every promise was kept.
func (v Verdict) OK() bool { return len(v.Violations) == 0 }

// Count is how many subjects break an invariant.
func (v Verdict) Count(inv Invariant) int {
	n := 0
	for _, violation := range v.Violations {
		if violation.Invariant == inv {
			n++
		}
	}
	return n
}

// Line is the verdict in one line.
func (v Verdict) Line() string {
	stock := "stock conserved"
	if n := v.Count(Stock); n > 0 {
		stock = fmt.Sprintf("stock NOT conserved for %d skus", n)
	}
	line := fmt.Sprintf("lost %d · duplicate effects %d · order inversions %d · %s",
		v.Count(Lost), v.Count(Duplicate), v.Count(Inversion), stock)
	if n := v.Count(Index); n > 0 {
		line += fmt.Sprintf(" · %d index documents stale", n)
	}
	return line
}

// findings collects violations, one per invariant and subject.
type findings map[[2]string][]string

func (f findings) add(inv Invariant, subject, format string, args ...any) {
	key := [2]string{string(inv), subject}
	detail := fmt.Sprintf(format, args...)
	if !slices.Contains(f[key], detail) {
		f[key] = append(f[key], detail)
	}
}

func (f findings) sorted() []Violation {
	out := make([]Violation, 0, len(f))
	for key, details := range f {
		out = append(out, Violation{Invariant(key[0]), key[1], strings.Join(details, "; ")})
	}
	slices.SortFunc(out, func(a, b Violation) int {
		return cmp.Or(
			cmp.Compare(slices.Index(invariants, a.Invariant), slices.Index(invariants, b.Invariant)),
			strings.Compare(a.Subject, b.Subject),
		)
	})
	return out
}
