package registry

import (
	"encoding/hex"
	"slices"
	"strings"
)

// Answers about schemas by id, and listings.

const maxSchemas = 1000

func (s *Server) getTypes(*request) (any, error) { return []string{typeAvro}, nil }

func (s *Server) listSchemas(r *request) (any, error) {
	prefix := r.qualify(r.URL.Query().Get("subjectPrefix"))
	ruleType := r.URL.Query().Get("ruleType")
	var out []schemaResponse
	var err error
	s.store.view(func(st *state) {
		entries := st.list(prefix, filter{deleted: r.flag("deleted")})
		if r.flag("latestOnly") {
			latest := entries[:0]
			for i, e := range entries {
				if i+1 == len(entries) || entries[i+1].subject != e.subject {
					latest = append(latest, e)
				}
			}
			entries = latest
		}
		if ruleType != "" {
			entries = slices.DeleteFunc(entries, func(e *entry) bool { return !e.ruleSet.hasType(ruleType) })
		}
		if entries, err = page(r, entries, maxSchemas); err != nil {
			return
		}
		out = make([]schemaResponse, len(entries))
		for i, e := range entries {
			if out[i], err = r.response(st, e); err != nil {
				return
			}
		}
	})
	return out, err
}

func (r *RuleSet) hasType(name string) bool {
	if r == nil {
		return false
	}
	for _, rules := range r.phases() {
		if slices.ContainsFunc(rules, func(rule Rule) bool { return rule.Type == name }) {
			return true
		}
	}
	return false
}

// idSubject is the subject that says in which context an id is meant.
func (r *request) idSubject() string { return r.qualify(r.URL.Query().Get("subject")) }

func (s *Server) getByID(r *request) (any, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	var out schemaResponse
	s.store.view(func(st *state) {
		e := st.byID(id, r.idSubject())
		if e == nil {
			err = errSchemaIDNotFound(id)
			return
		}
		if out, err = r.response(st, e); err != nil {
			return
		}
		if r.flag("fetchMaxId") {
			out.MaxID = st.ids(contextOf(e.subject)).max
		}
	})
	// Subject and version are told to who asks for a subject: an id is common
	// to all that have it.
	out.ID = 0
	if !r.URL.Query().Has("subject") {
		out.Subject, out.Version = "", 0
	}
	return out, err
}

func (s *Server) getByIDSchema(r *request) (any, error) {
	v, err := s.getByID(r)
	if err != nil {
		return nil, err
	}
	return raw(v.(schemaResponse).Schema), nil
}

// idHolders returns the versions that have the id of the path.
func (s *Server) idHolders(r *request) ([]*entry, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	var out []*entry
	s.store.view(func(st *state) {
		if e := st.byID(id, r.idSubject()); e != nil {
			out = st.holders(e, r.flag("deleted"))
		}
	})
	if out == nil {
		return nil, errSchemaNotFound()
	}
	return out, nil
}

func (s *Server) getByIDSubjects(r *request) (any, error) {
	holders, err := s.idHolders(r)
	if err != nil {
		return nil, err
	}
	subjects := make([]string, len(holders))
	for i, e := range holders {
		subjects[i] = e.subject
	}
	return page(r, subjects, 0)
}

func (s *Server) getByIDVersions(r *request) (any, error) {
	holders, err := s.idHolders(r)
	if err != nil {
		return nil, err
	}
	versions := make([]subjectVersion, len(holders))
	for i, e := range holders {
		versions[i] = subjectVersion{e.subject, e.version}
	}
	return page(r, versions, 0)
}

// contextID is an id and its context.
type contextID struct {
	Context string `json:"context"`
	ID      int    `json:"id"`
}

// guidIDs returns the ids of a GUID, the default context's first.
func guidIDs(st *state, guid string) []contextID {
	sum, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
	ids := []contextID{}
	if err != nil || len(sum) != 16 {
		return ids
	}
	for _, c := range st.contextNames() {
		if id, ok := st.ids(c).byHash[[16]byte(sum)]; ok {
			ids = append(ids, contextID{c, id})
		}
	}
	return ids
}

func (s *Server) getByGUID(r *request) (any, error) {
	guid := r.PathValue("guid")
	var out schemaResponse
	var err error
	s.store.view(func(st *state) {
		ids := guidIDs(st, guid)
		if len(ids) == 0 {
			err = errorf(404, codeSchemaNotFound, "Schema %s not found", guid)
			return
		}
		out, err = r.response(st, st.byID(ids[0].ID, contextPrefix(ids[0].Context)))
	})
	out.Subject, out.Version, out.ID = "", 0, 0
	return out, err
}

func (s *Server) getByGUIDIDs(r *request) (any, error) {
	var ids []contextID
	s.store.view(func(st *state) { ids = guidIDs(st, r.PathValue("guid")) })
	return ids, nil
}

func (s *Server) listContexts(r *request) (any, error) {
	prefix := r.URL.Query().Get("contextPrefix")
	var names []string
	s.store.view(func(st *state) { names = st.contextNames() })
	names = slices.DeleteFunc(names, func(c string) bool { return !strings.HasPrefix(c, prefix) })
	return page(r, names, 0)
}

func (s *Server) removeContext(r *request) (any, error) {
	return nil, s.deleteContext(r.Context(), contextName(r.PathValue("context")))
}
