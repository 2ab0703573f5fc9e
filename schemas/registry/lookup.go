package registry

import (
	"slices"
	"strings"
)

// lookup returns the version of the candidate's subject that it is, nil for
// none.
func (s *Server) lookup(st *state, c *candidate, deleted bool) *entry {
	ids := st.ids(contextOf(c.subject))
	if id, ok := ids.byHash[c.hash]; ok {
		if v, has := ids.byID[id].subjects[c.subject]; has {
			if e := st.subjects[c.subject][v]; deleted || !e.deleted {
				return e
			}
		}
	}
	for _, e := range slices.Backward(st.versions(c.subject, filter{deleted: deleted})) {
		if s.same(st, c, e) {
			return e
		}
	}
	return nil
}

// find answers POST /subjects/{subject}: which version is this schema?
func (s *Server) find(subject string, req schemaRequest, normal, deleted bool) (*entry, error) {
	if err := req.validate(); err != nil {
		return nil, err
	}
	var found *entry
	var problem *Error
	s.store.view(func(st *state) {
		if strings.TrimSpace(req.Schema) == "" {
			problem = errSchemaNotFound()
			if !st.has(subject, deleted) {
				problem = errSubjectNotFound(subject)
			}
			return
		}
		if found, problem = s.findIn(st, subject, req, normal, deleted); found != nil || problem != nil {
			return
		}
		for _, other := range st.elsewhere(subject) {
			// A schema that is invalid there may still be found elsewhere.
			if found, _ = s.findIn(st, other, req, normal, deleted); found != nil {
				return
			}
		}
		if !st.has(subject, deleted) {
			problem = errSubjectNotFound(subject)
		} else {
			problem = errSchemaNotFound()
		}
	})
	if problem != nil {
		return nil, problem
	}
	return found, nil
}

func (s *Server) findIn(st *state, subject string, req schemaRequest, normal, deleted bool) (*entry, *Error) {
	settings := s.settings(st, subject)
	c, err := s.canonicalize(st, subject, &req, false, normal || on(settings.Normalize))
	if err != nil {
		return nil, err
	}
	if e := s.lookup(st, c, deleted); e != nil {
		return e, nil
	}
	// The version may have been given its contract when it was registered.
	latest := st.latest(subject)
	if latest == nil {
		return nil, nil
	}
	before := c.hash
	c.inherit(settings, latest, 0, false)
	if c.hash == before {
		return nil, nil
	}
	return s.lookup(st, c, deleted), nil
}

// check answers the compatibility endpoints. version 0 means as registering
// would: with all versions that the level is about.
func (s *Server) check(subject string, version int, req schemaRequest, normal bool) ([]string, error) {
	if err := req.validate(); err != nil {
		return nil, err
	}
	var messages []string
	var problem *Error
	s.store.view(func(st *state) {
		var previous []*entry
		if version == 0 {
			previous = st.versions(subject, filter{})
		} else if e := st.version(subject, version, false); e != nil {
			previous = []*entry{e}
		} else if version != latestVersion {
			problem = errVersionNotFound(version)
			return
		}
		settings := s.settings(st, subject)
		strict := settings.ValidateNewSchemas == nil || *settings.ValidateNewSchemas
		c, err := s.canonicalize(st, subject, &req, strict, normal || on(settings.Normalize))
		if err != nil {
			problem = err
			return
		}
		messages, problem = s.incompatible(st, settings, c, previous)
	})
	if problem != nil {
		return nil, problem
	}
	return messages, nil
}

// settings returns the settings in force for a subject.
func (s *Server) settings(st *state, subject string) Settings {
	return st.settingsInScope(subject, Settings{CompatibilityLevel: string(s.cfg.Compatibility)})
}
