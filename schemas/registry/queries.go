package registry

import (
	"cmp"
	"slices"
	"strings"
)

// filter says which versions a question is about.
type filter struct{ deleted, onlyDeleted bool }

func (f filter) takes(e *entry) bool {
	if f.onlyDeleted {
		return e.deleted
	}
	return f.deleted || !e.deleted
}

// latestVersion stands for the highest version that is not deleted.
const latestVersion = -1

// versions returns a subject's versions in order.
func (st *state) versions(subject string, f filter) []*entry {
	var out []*entry
	for _, e := range st.subjects[subject] {
		if f.takes(e) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return cmp.Compare(a.version, b.version) })
	return out
}

// latest returns the highest version that is not deleted, nil for none.
func (st *state) latest(subject string) *entry {
	var latest *entry
	for _, e := range st.subjects[subject] {
		if !e.deleted && (latest == nil || e.version > latest.version) {
			latest = e
		}
	}
	return latest
}

// version returns a version, nil where there is none or it is deleted and
// deleted ones are not asked for.
func (st *state) version(subject string, version int, deleted bool) *entry {
	if version == latestVersion {
		return st.latest(subject)
	}
	if e := st.subjects[subject][version]; e != nil && (deleted || !e.deleted) {
		return e
	}
	return nil
}

// has reports whether a subject, or anything in a context, exists.
func (st *state) has(scope string, deleted bool) bool {
	for subject := range st.inScope(scope) {
		if len(st.versions(subject, filter{deleted: deleted})) > 0 {
			return true
		}
	}
	return false
}

// inScope iterates over the subjects of a scope, in no order.
func (st *state) inScope(scope string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if q := parseSubject(scope); q.subject != "" {
			if st.subjects[scope] != nil {
				yield(scope)
			}
			return
		}
		for subject := range st.subjects {
			if covers(scope, subject) && !yield(subject) {
				return
			}
		}
	}
}

// list returns the versions of subjects with a prefix, by subject and version.
func (st *state) list(prefix string, f filter) []*entry {
	var out []*entry
	for subject, versions := range st.subjects {
		if !hasPrefix(subject, prefix) {
			continue
		}
		for _, e := range versions {
			if f.takes(e) {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, byVersion)
	return out
}

func byVersion(a, b *entry) int {
	return cmp.Or(strings.Compare(a.subject, b.subject), cmp.Compare(a.version, b.version))
}

// contextNames returns the contexts, the default one first.
func (st *state) contextNames() []string {
	names := make([]string, 0, len(st.named)+1)
	for c := range st.named {
		if c != defaultContext {
			names = append(names, c)
		}
	}
	slices.Sort(names)
	return append([]string{defaultContext}, names...)
}

// elsewhere returns the subjects that a subject without a context may also
// mean: the same name in each other context.
func (st *state) elsewhere(subject string) []string {
	q := parseSubject(subject)
	if q.context != defaultContext {
		return nil
	}
	var out []string
	for _, c := range st.contextNames()[1:] {
		out = append(out, qualified{c, q.subject}.String())
	}
	return out
}

// byID returns a version that has an id, nil for none. The subject, which may
// be a context only, says in which context the id is meant.
func (st *state) byID(id int, subject string) *entry {
	q := parseSubject(subject)
	find := func(context, subject string) *entry {
		holder := st.ids(context).byID[id]
		if holder == nil {
			return nil
		}
		holders := holder.subjects
		if subject != "" {
			if v, ok := holders[subject]; ok {
				return st.subjects[subject][v]
			}
			return nil
		}
		var first *entry
		for s, v := range holders {
			if e := st.subjects[s][v]; first == nil || byVersion(e, first) < 0 {
				first = e
			}
		}
		return first
	}
	if q.subject == "" {
		return find(q.context, "")
	}
	if e := find(q.context, q.String()); e != nil || q.context != defaultContext {
		return e
	}
	for _, s := range st.elsewhere(subject) {
		if e := find(contextOf(s), s); e != nil {
			return e
		}
	}
	return find(q.context, "")
}

// holders returns the versions with the id of e, one for each subject.
func (st *state) holders(e *entry, deleted bool) []*entry {
	out := []*entry{}
	for s, v := range st.ids(contextOf(e.subject)).byID[e.id].subjects {
		if h := st.subjects[s][v]; deleted || !h.deleted {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, byVersion)
	return out
}

// references returns the versions that refer to a version.
func (st *state) references(subject string, version int, deleted bool) []*entry {
	var out []*entry
	for from := range st.referrers[subjectVersion{subject, version}] {
		if e := st.subjects[from.Subject][from.Version]; e != nil && (deleted || !e.deleted) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, byVersion)
	return out
}

// scopes returns where settings of a subject are looked for, narrowest first.
func scopes(subject string) []string {
	q := parseSubject(subject)
	all := []string{subject, q.prefix(), contextPrefix(globalContext)}
	return slices.Compact(all)
}

// settingsInScope returns the settings in force for a subject.
func (st *state) settingsInScope(subject string, fallback Settings) Settings {
	var found *Settings
	for _, scope := range scopes(subject) {
		s, ok := st.settings[scope]
		switch {
		case !ok:
		case found == nil:
			found = &s
		default:
			merged := found.within(s)
			if merged.CompatibilityLevel == "" {
				merged.CompatibilityLevel = s.CompatibilityLevel
			}
			found = &merged
		}
	}
	if found == nil {
		return fallback
	}
	if found.CompatibilityLevel == "" {
		found.CompatibilityLevel = fallback.CompatibilityLevel
	}
	return *found
}

// modeInScope returns the mode in force for a subject.
func (st *state) modeInScope(subject string) string {
	for _, scope := range scopes(subject) {
		if m, ok := st.modes[scope]; ok {
			return m
		}
	}
	return modeReadWrite
}
