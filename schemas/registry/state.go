package registry

import (
	"encoding/json"
	"log/slog"
)

// logRecord is a record as it was read from the topic.
type logRecord struct {
	offset    int64
	timestamp int64
	key       []byte
	value     []byte
	// writer and base are set on what instances of this registry write: which
	// instance, and the offset up to which it had read when it decided.
	writer string
	base   int64
	// control marks what a broker wrote for itself.
	control bool
}

// state is everything the topic says, rebuilt from it on every start. apply is
// its only writer. It must come out the same for the whole topic and for the
// topic after compaction, so nothing may depend on a record that a later one
// with the same key replaces.
type state struct {
	logger   *slog.Logger
	offset   int64 // of the next record to apply
	subjects map[string]map[int]*entry
	contexts map[string]*idSpace // by context
	named    map[string]bool     // contexts with a CONTEXT record
	settings map[string]Settings
	modes    map[string]string
	// referrers are the versions that refer to a version.
	referrers map[subjectVersion]map[subjectVersion]bool
	// watermarks are the DELETE_SUBJECT records in force.
	watermarks map[string]int
	// spellings are the other forms under which a logical key's record exists.
	spellings map[key]map[string]bool
	// last is the latest write that counted: what conflicts are judged by.
	last struct {
		offset int64
		writer string
		base   int64
	}
	// shadowed are keys whose latest record lost a conflict and hides the one
	// that counts from compaction; lost are the bases of our own losing writes.
	shadowed map[key]bool
	lost     map[int64]bool
	self     string
	skipped  int
}

// idSpace is the ids of one context.
type idSpace struct {
	byID   map[int]*schemaID
	byHash map[[16]byte]int
	max    int // the highest id ever seen or hinted
	hint   int // the highest id that a NOOP record remembers
}

// schemaID is one id: its text, and the subjects with the latest version of
// each that has it.
type schemaID struct {
	text     string
	subjects map[string]int
}

func newState(self string, logger *slog.Logger) *state {
	st := &state{
		logger: logger, self: self,
		subjects: map[string]map[int]*entry{}, contexts: map[string]*idSpace{}, named: map[string]bool{},
		settings: map[string]Settings{}, modes: map[string]string{},
		referrers: map[subjectVersion]map[subjectVersion]bool{}, watermarks: map[string]int{},
		spellings: map[key]map[string]bool{}, shadowed: map[key]bool{}, lost: map[int64]bool{},
	}
	st.last.offset = -1
	return st
}

// apply takes the next record of the topic. What it cannot read it skips: the
// topic may hold what a newer registry wrote.
func (st *state) apply(r logRecord) {
	st.offset = r.offset + 1
	if r.control {
		return
	}
	k, err := parseKey(r.key)
	if err != nil {
		st.skip(r, err)
		return
	}
	if k.subject != "" {
		k.subject = normalSubject(k.subject)
	}
	if k.typ == keyNoop {
		st.applyHighWater(r)
		return
	}
	st.noteSpelling(k, r)
	if st.loses(r) {
		st.shadowed[k] = true
		if r.writer == st.self {
			st.lost[r.base] = true
		}
		return
	}
	if !st.applyKnown(k, r) {
		return
	}
	delete(st.shadowed, k)
	st.last.offset, st.last.writer, st.last.base = r.offset, r.writer, r.base
}

// loses reports whether another instance's write came between the decision
// behind r and r itself. All instances agree: they read the same log.
func (st *state) loses(r logRecord) bool {
	if r.writer == "" || st.last.offset < r.base {
		return false
	}
	return st.last.writer != r.writer || st.last.base != r.base
}

func (st *state) skip(r logRecord, err error) {
	st.skipped++
	st.logger.Warn("skipped a record of the schemas topic", "offset", r.offset, "error", err)
}

// applyKnown applies a record that counts and reports whether it did anything.
func (st *state) applyKnown(k key, r logRecord) bool {
	switch k.typ {
	case keySchema:
		return st.applySchema(k, r)
	case keyConfig:
		if r.value == nil {
			delete(st.settings, k.subject)
			return true
		}
		var s Settings
		if err := json.Unmarshal(r.value, &s); err != nil {
			st.skip(r, err)
			return false
		}
		st.settings[k.subject] = s
	case keyMode:
		if r.value == nil {
			delete(st.modes, k.subject)
			return true
		}
		var m struct{ Mode string }
		if err := json.Unmarshal(r.value, &m); err != nil || m.Mode == "" {
			st.skip(r, err)
			return false
		}
		st.modes[k.subject] = m.Mode
	case keyContext:
		if r.value == nil {
			delete(st.named, k.context)
		} else {
			st.named[k.context] = true
		}
	case keyDeleteSubject:
		var v subjectVersion
		if r.value == nil || json.Unmarshal(r.value, &v) != nil {
			delete(st.watermarks, k.subject)
			return true
		}
		st.watermarks[k.subject] = v.Version
		for version, e := range st.subjects[k.subject] {
			if version <= v.Version && !e.deleted {
				gone := *e
				gone.deleted = true
				st.subjects[k.subject][version] = &gone
			}
		}
	case keyClearSubject:
		if r.value != nil {
			st.clear(k.subject)
		}
	}
	return true
}

func (st *state) applySchema(k key, r logRecord) bool {
	if r.value == nil {
		st.remove(k.subject, k.version)
		return true
	}
	e, err := parseSchemaValue(k, r.value)
	if err != nil || e.id < 1 {
		st.skip(r, err)
		return false
	}
	e.timestamp = r.timestamp
	space := st.space(contextOf(e.subject))
	id := space.byID[e.id]
	switch {
	case id == nil:
	case id.text == e.schema:
		e.schema = id.text // one copy in memory
	case len(id.subjects) == 1 && id.subjects[e.subject] == e.version:
		// The record replaces the only holder of the id: written as data, not
		// as a decision, by an import or another registry.
	default:
		st.skipped++
		st.logger.Error("ignored a schema whose id belongs to another schema", "subject", e.subject, "version", e.version, "id", e.id, "offset", r.offset)
		if st.subjects[e.subject][e.version] != nil {
			st.shadowed[k] = true
		}
		return false
	}
	st.remove(e.subject, e.version)
	if st.subjects[e.subject] == nil {
		st.subjects[e.subject] = map[int]*entry{}
	}
	st.subjects[e.subject][e.version] = e
	if id = space.byID[e.id]; id == nil {
		id = &schemaID{text: e.schema, subjects: map[string]int{}}
		space.byID[e.id] = id
	}
	id.subjects[e.subject] = max(id.subjects[e.subject], e.version)
	space.byHash[e.hash] = e.id
	space.max = max(space.max, e.id)
	self := subjectVersion{e.subject, e.version}
	for _, ref := range e.references {
		to := subjectVersion{relativeTo(e.subject, ref.Subject), ref.Version}
		if st.referrers[to] == nil {
			st.referrers[to] = map[subjectVersion]bool{}
		}
		st.referrers[to][self] = true
	}
	return true
}

// remove forgets a version for good.
func (st *state) remove(subject string, version int) {
	e := st.subjects[subject][version]
	if e == nil {
		return
	}
	delete(st.subjects[subject], version)
	if len(st.subjects[subject]) == 0 {
		delete(st.subjects, subject)
	}
	space := st.space(contextOf(subject))
	if id := space.byID[e.id]; id != nil && id.subjects[subject] == version {
		// An older version of the subject may have the same id.
		older := 0
		for v, other := range st.subjects[subject] {
			if other.id == e.id {
				older = max(older, v)
			}
		}
		if older > 0 {
			id.subjects[subject] = older
		} else {
			delete(id.subjects, subject)
		}
		if len(id.subjects) == 0 {
			delete(space.byID, e.id)
			if space.byHash[e.hash] == e.id {
				delete(space.byHash, e.hash)
			}
		}
	}
	for _, ref := range e.references {
		to := subjectVersion{relativeTo(subject, ref.Subject), ref.Version}
		delete(st.referrers[to], subjectVersion{subject, version})
		if len(st.referrers[to]) == 0 {
			delete(st.referrers, to)
		}
	}
}

// clear forgets the soft-deleted versions under a scope.
func (st *state) clear(scope string) {
	for subject, versions := range st.subjects {
		if !covers(scope, subject) {
			continue
		}
		for version, e := range versions {
			if e.deleted {
				st.remove(subject, version)
			}
		}
	}
}

// ids returns the ids of a context for reading.
func (st *state) ids(context string) *idSpace {
	if s := st.contexts[context]; s != nil {
		return s
	}
	return &idSpace{}
}

// space returns the ids of a context for writing, in apply only.
func (st *state) space(context string) *idSpace {
	s := st.contexts[context]
	if s == nil {
		s = &idSpace{byID: map[int]*schemaID{}, byHash: map[[16]byte]int{}}
		st.contexts[context] = s
	}
	return s
}
