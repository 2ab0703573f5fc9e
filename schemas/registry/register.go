package registry

import (
	"context"
	"math"
	"slices"
	"strings"
)

// register stores a schema under a subject and returns its version; a schema
// that the subject already has is returned as it is.
func (s *Server) register(ctx context.Context, subject string, req schemaRequest, normal bool) (*entry, error) {
	if !validSubject(subject, false) {
		return nil, errorf(422, codeInvalidSubject, "The specified subject '%s' is not a valid.", subject)
	}
	if err := req.validate(); err != nil {
		return nil, err
	}
	// What exists is answered without writing, in read-only modes too.
	var found *entry
	s.store.view(func(st *state) { found = s.registered(st, subject, req, normal) })
	if found != nil {
		return found, nil
	}
	var at subjectVersion
	err := s.store.update(ctx, func(st *state) ([]record, error) {
		e, records, err := s.decideRegister(st, subject, req, normal)
		if err != nil {
			return nil, err
		}
		at = subjectVersion{e.subject, e.version}
		return records, nil
	})
	if err != nil {
		return nil, err
	}
	s.store.view(func(st *state) { found = st.version(at.Subject, at.Version, true) })
	if found == nil {
		return nil, errorf(500, codeStore, "The schema was registered as version %d and removed at once by another request", at.Version)
	}
	s.logger.Info("schema registered", "subject", found.subject, "version", found.version, "id", found.id)
	return found, nil
}

// registered returns the version that a request to register already has, nil if
// only a decision can tell.
func (s *Server) registered(st *state, subject string, req schemaRequest, normal bool) *entry {
	settings := s.settings(st, subject)
	if settings.fillsContracts() {
		return nil
	}
	c, err := s.canonicalize(st, subject, &req, false, normal || on(settings.Normalize))
	if err != nil {
		return nil
	}
	e := s.lookup(st, c, false)
	if e == nil || req.ID != nil && *req.ID >= 0 && *req.ID != e.id || req.Version != nil && *req.Version > 0 && *req.Version != e.version {
		return nil
	}
	return e
}

// decideRegister is the decision to register: it returns the version that the
// schema has or gets, and what to write for it.
func (s *Server) decideRegister(st *state, subject string, req schemaRequest, normal bool) (*entry, []record, error) {
	id, version := -1, 0
	if req.ID != nil {
		id = *req.ID
	}
	if req.Version != nil {
		version = *req.Version
	}
	mode := st.modeInScope(subject)
	switch {
	case readOnly(mode):
		return nil, nil, errReadOnly(subject)
	case id >= 0 && !imports(mode):
		return nil, nil, errNotPermitted("Subject %s in context %s is not in import mode", subject, contextOf(subject))
	case id < 0 && mode != modeReadWrite:
		return nil, nil, errNotPermitted("Subject %s in context %s is not in read-write mode", subject, contextOf(subject))
	}
	all := st.versions(subject, filter{deleted: true})
	live := slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return e.deleted })
	next := 1
	if len(all) > 0 {
		next = all[len(all)-1].version + 1
	}
	settings := s.settings(st, subject)
	var previous *entry
	if len(live) > 0 {
		previous = live[len(live)-1]
	}
	if strings.TrimSpace(req.Schema) == "" && previous != nil && !imports(mode) {
		// A request without a schema changes the contract of the latest one.
		req.Schema, req.SchemaType, req.References = previous.schema, previous.schemaType, previous.references
	}
	strict := id < 0 && (settings.ValidateNewSchemas == nil || *settings.ValidateNewSchemas)
	c, problem := s.canonicalize(st, subject, &req, strict, normal || on(settings.Normalize))
	if problem != nil {
		return nil, nil, problem
	}
	if !imports(mode) {
		c.inherit(settings, previous, next, version != 0)
	}

	// The same content has the same id everywhere in a context, and one
	// version in a subject.
	space := st.ids(contextOf(subject))
	if known, ok := space.byHash[c.hash]; ok && (id < 0 || id == known) {
		if v, has := space.byID[known].subjects[subject]; has && version == 0 && !st.subjects[subject][v].deleted {
			return st.subjects[subject][v], nil, nil
		}
		id = known
	}
	if version == 0 {
		for _, e := range slices.Backward(live) {
			if (id < 0 || id == e.id) && s.same(st, c, e) {
				return e, nil, nil
			}
		}
	}
	if !imports(mode) {
		messages, err := s.incompatible(st, settings, c, live)
		if err != nil {
			return nil, nil, err
		}
		if len(messages) > 0 {
			return nil, nil, errorf(409, s.cfg.IncompatibleCode, messageIncompatible, subject, strings.Join(messages, ", "))
		}
	}
	switch {
	case version <= 0:
		version = next
	case version != next && !imports(mode):
		return nil, nil, errInvalidSchema("Version is not one more than previous version")
	}
	if id >= 0 {
		if problem := mayTake(st, c, id); problem != nil {
			return nil, nil, problem
		}
	} else {
		id = space.max + 1
	}
	if id < 1 || id > math.MaxInt32 {
		return nil, nil, errNotPermitted("Schema id %d is not between 1 and 2^31-1", id)
	}
	c.id, c.version = id, version
	return &c.entry, s.registerRecords(st, c, all), nil
}

// mayTake refuses an id that another schema of the context has.
func mayTake(st *state, c *candidate, id int) *Error {
	context := contextOf(c.subject)
	holder := st.byID(id, contextPrefix(context))
	if holder == nil || holder.hash == c.hash {
		return nil
	}
	return errNotPermitted("Overwrite new schema with id %d in context %s is not permitted.", id, context)
}

// registerRecords returns what registering writes. An older, soft-deleted
// version of the same content makes room for the new one, unless a schema
// refers to it by its number.
func (s *Server) registerRecords(st *state, c *candidate, all []*entry) []record {
	var records []record
	if context := contextOf(c.subject); context != defaultContext && !st.named[context] {
		records = append(records, contextRecord(context))
	}
	for _, e := range all {
		if e.deleted && e.id == c.id && e.version < c.version && len(st.references(e.subject, e.version, true)) == 0 {
			records = append(records, record{key: schemaKey(e.subject, e.version)})
		}
	}
	return append(records, schemaRecord(&c.entry))
}

func on(b *bool) bool { return b != nil && *b }
