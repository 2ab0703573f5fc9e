package registry

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of contexts. A subject such as ":.team:orders-value" belongs to context
// ".team"; one without the prefix belongs to the default context. Each context
// has its own subjects and ids.
const (
	defaultContext = "."
	// globalContext holds configuration that every context falls back to.
	globalContext = ".__GLOBAL"
	anyContext    = "*"
	anyPrefix     = ":*:"
)

// qualified is a subject's name and its context.
type qualified struct{ context, subject string }

// parseSubject splits a subject as it appears in requests and records.
func parseSubject(s string) qualified {
	if rest, ok := strings.CutPrefix(s, ":."); ok {
		context, subject, _ := strings.Cut(rest, ":")
		return qualified{"." + context, subject}
	}
	if rest, ok := strings.CutPrefix(s, anyPrefix); ok {
		return qualified{anyContext, rest}
	}
	return qualified{defaultContext, s}
}

// normalSubject is the one spelling of a subject that is stored.
func normalSubject(s string) string { return parseSubject(s).String() }

func contextOf(subject string) string { return parseSubject(subject).context }

// prefix is what comes before the subject: nothing in the default context.
func (q qualified) prefix() string { return contextPrefix(q.context) }

func (q qualified) String() string { return q.prefix() + q.subject }

func contextPrefix(context string) string {
	if context == defaultContext {
		return ""
	}
	return ":" + context + ":"
}

// relativeTo puts a subject without a context into that of parent: references
// and aliases are written so.
func relativeTo(parent, subject string) string {
	q := parseSubject(subject)
	if q.context == defaultContext {
		q.context = contextOf(parent)
	}
	return q.String()
}

// covers reports whether settings under scope are about subject: scope is a
// subject, a context (":.team:"), or "" for everything.
func covers(scope, subject string) bool {
	if scope == "" || scope == subject {
		return true
	}
	q := parseSubject(scope)
	return q.subject == "" && (q.context == globalContext || q.context == contextOf(subject))
}

// hasPrefix reports whether a subject is listed under a prefix, which is about
// one context unless it begins with ":*:".
func hasPrefix(subject, prefix string) bool {
	p, q := parseSubject(prefix), parseSubject(subject)
	return (p.context == anyContext || p.context == q.context) && strings.HasPrefix(q.subject, p.subject)
}

// validSubject checks a name before it is written.
func validSubject(name string, forSettings bool) bool {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return false
	}
	q := parseSubject(name)
	if q.subject == "__GLOBAL" || q.subject == "__EMPTY" || q.context == anyContext {
		return false
	}
	return forSettings || q.context != globalContext
}
