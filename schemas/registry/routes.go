package registry

import (
	"errors"
	"slices"
	"strings"
)

type route struct {
	pattern string
	handle  handler
}

// routes are the endpoints. Every pattern also answers with a slash at its end.
func (s *Server) routes() []route {
	return []route{
		{"GET /{$}", s.getRoot},
		{"POST /{$}", s.getRoot},

		{"GET /subjects", s.listSubjects},
		{"POST /subjects/{subject}", s.postLookup},
		{"DELETE /subjects/{subject}", s.removeSubject},
		{"GET /subjects/{subject}/versions", s.listVersions},
		{"POST /subjects/{subject}/versions", s.postVersion},
		{"GET /subjects/{subject}/versions/{version}", s.getVersion},
		{"DELETE /subjects/{subject}/versions/{version}", s.removeVersion},
		{"GET /subjects/{subject}/versions/{version}/schema", s.getVersionSchema},
		{"GET /subjects/{subject}/versions/{version}/referencedby", s.getReferencedBy},
		{"GET /subjects/{subject}/metadata", s.getLatestWithMetadata},

		{"GET /schemas", s.listSchemas},
		{"GET /schemas/types", s.getTypes},
		{"GET /schemas/ids/{id}", s.getByID},
		{"GET /schemas/ids/{id}/schema", s.getByIDSchema},
		{"GET /schemas/ids/{id}/subjects", s.getByIDSubjects},
		{"GET /schemas/ids/{id}/versions", s.getByIDVersions},
		{"GET /schemas/guids/{guid}", s.getByGUID},
		{"GET /schemas/guids/{guid}/ids", s.getByGUIDIDs},

		{"POST /compatibility/subjects/{subject}/versions", s.postCompatibility},
		{"POST /compatibility/subjects/{subject}/versions/{version}", s.postCompatibility},

		{"GET /config", s.getConfig},
		{"PUT /config", s.putConfig},
		{"DELETE /config", s.removeConfig},
		{"GET /config/{subject}", s.getConfig},
		{"PUT /config/{subject}", s.putConfig},
		{"DELETE /config/{subject}", s.removeConfig},

		{"GET /mode", s.getMode},
		{"PUT /mode", s.putModeTo},
		{"DELETE /mode", s.removeMode},
		{"GET /mode/{subject}", s.getMode},
		{"PUT /mode/{subject}", s.putModeTo},
		{"DELETE /mode/{subject}", s.removeMode},

		{"GET /contexts", s.listContexts},
		{"DELETE /contexts/{context}", s.removeContext},
		{"GET /v1/metadata/id", s.getClusterID},
		{"GET /v1/metadata/version", s.getServerVersion},
	}
}

func (s *Server) getRoot(*request) (any, error) { return struct{}{}, nil }

// schemaResponse is a version as clients get it.
type schemaResponse struct {
	Subject    string      `json:"subject,omitempty"`
	Version    int         `json:"version,omitempty"`
	ID         int         `json:"id,omitempty"`
	GUID       string      `json:"guid,omitempty"`
	SchemaType string      `json:"schemaType"`
	References []Reference `json:"references,omitempty"`
	Metadata   *Metadata   `json:"metadata,omitempty"`
	RuleSet    *RuleSet    `json:"ruleSet,omitempty"`
	Schema     string      `json:"schema"`
	MaxID      int         `json:"maxId,omitempty"`
	Timestamp  int64       `json:"ts,omitempty"`
	Deleted    bool        `json:"deleted"`
}

// response fills in everything about a version; format=resolved writes out
// references.
func (r *request) response(st *state, e *entry) (schemaResponse, error) {
	out := schemaResponse{
		Subject: e.subject, Version: e.version, ID: e.id, GUID: e.guid(), SchemaType: e.schemaType, References: e.references,
		Metadata: e.metadata, RuleSet: e.ruleSet, Schema: e.schema, Timestamp: e.timestamp, Deleted: e.deleted,
	}
	if strings.EqualFold(r.URL.Query().Get("format"), "resolved") {
		p, err := r.s.parser.parse(st, e.subject, e.schema, e.references, false)
		if err != nil {
			return out, invalidSchema(err)
		}
		out.Schema = p.schema.Inline()
	}
	if r.URL.Query().Get("referenceFormat") == "qualified" && contextOf(e.subject) != defaultContext {
		out.References = slices.Clone(e.references)
		for i := range out.References {
			out.References[i].Subject = relativeTo(e.subject, out.References[i].Subject)
		}
	}
	return out, nil
}

func (s *Server) listSubjects(r *request) (any, error) {
	prefix := anyPrefix
	if r.URL.Query().Has("subjectPrefix") || r.context != defaultContext {
		prefix = r.qualify(r.URL.Query().Get("subjectPrefix"))
	}
	var subjects []string
	s.store.view(func(st *state) {
		for subject, versions := range st.subjects {
			if !hasPrefix(subject, prefix) {
				continue
			}
			live := false
			for _, e := range versions {
				live = live || !e.deleted
			}
			switch {
			case r.flag("deletedOnly"):
				if !live {
					subjects = append(subjects, subject)
				}
			case live || r.flag("deleted"):
				subjects = append(subjects, subject)
			}
		}
	})
	slices.Sort(subjects)
	return page(r, subjects, 0)
}

func (s *Server) listVersions(r *request) (any, error) {
	subject, f := r.subject(), filter{deleted: r.flag("deleted"), onlyDeleted: r.flag("deletedOnly")}
	var versions []int
	known := false
	s.store.view(func(st *state) {
		known = len(st.versions(subject, filter{deleted: f.deleted || f.onlyDeleted})) > 0
		for _, e := range st.versions(subject, f) {
			versions = append(versions, e.version)
		}
	})
	if !known {
		return nil, errSubjectNotFound(subject)
	}
	return page(r, versions, 0)
}

// versionAt finds the version that the path names, in other contexts too.
func (s *Server) versionAt(st *state, r *request, deleted bool) (*entry, error) {
	subject := r.subjectIn(st)
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	if e := st.version(subject, version, deleted); e != nil {
		return e, nil
	}
	for _, other := range st.elsewhere(subject) {
		if e := st.version(other, version, deleted); e != nil {
			return e, nil
		}
	}
	if !st.has(subject, deleted) {
		return nil, errSubjectNotFound(subject)
	}
	return nil, errVersionNotFound(version)
}

func (s *Server) getVersion(r *request) (any, error) {
	var out schemaResponse
	var err error
	s.store.view(func(st *state) {
		var e *entry
		if e, err = s.versionAt(st, r, r.flag("deleted")); err == nil {
			out, err = r.response(st, e)
		}
	})
	return out, err
}

func (s *Server) getVersionSchema(r *request) (any, error) {
	v, err := s.getVersion(r)
	if err != nil {
		return nil, err
	}
	return raw(v.(schemaResponse).Schema), nil
}

func (s *Server) getReferencedBy(r *request) (any, error) {
	ids := []int{}
	var err error
	s.store.view(func(st *state) {
		var e *entry
		if e, err = s.versionAt(st, r, true); err != nil {
			return
		}
		for _, from := range st.references(e.subject, e.version, r.flag("deleted")) {
			ids = append(ids, from.id)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return page(r, slices.Compact(ids), 1000)
}

func (s *Server) getLatestWithMetadata(r *request) (any, error) {
	subject, query := r.subject(), r.URL.Query()
	keys, values := query["key"], query["value"]
	if len(keys) != len(values) {
		return nil, errorf(422, 422, "Each key needs a value: %d keys, %d values", len(keys), len(values))
	}
	var out schemaResponse
	err := error(errSchemaNotFound())
	s.store.view(func(st *state) {
		if !st.has(subject, r.flag("deleted")) {
			err = errSubjectNotFound(subject)
			return
		}
		for _, e := range slices.Backward(st.versions(subject, filter{deleted: r.flag("deleted")})) {
			matches := e.metadata != nil
			for i, key := range keys {
				v, ok := e.metadata.property(key)
				matches = matches && ok && v == values[i]
			}
			if matches {
				out, err = r.response(st, e)
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Server) postVersion(r *request) (any, error) {
	var req schemaRequest
	if err := r.decode(&req, schemaRequestFields); err != nil {
		return nil, err
	}
	e, err := s.register(r.Context(), r.subject(), req, r.flag("normalize"))
	if err != nil {
		return nil, err
	}
	var out schemaResponse
	s.store.view(func(st *state) { out, err = r.response(st, e) })
	out.Subject = ""
	return out, err
}

func (s *Server) postLookup(r *request) (any, error) {
	var req schemaRequest
	if err := r.decode(&req, schemaRequestFields); err != nil {
		return nil, err
	}
	e, err := s.find(r.subject(), req, r.flag("normalize"), r.flag("deleted"))
	if err != nil {
		return nil, err
	}
	var out schemaResponse
	s.store.view(func(st *state) { out, err = r.response(st, e) })
	return out, err
}

func (s *Server) postCompatibility(r *request) (any, error) {
	version := 0
	if r.PathValue("version") != "" {
		var err error
		if version, err = r.version(); err != nil {
			return nil, err
		}
	}
	var req schemaRequest
	if err := r.decode(&req, schemaRequestFields); err != nil {
		return nil, err
	}
	messages, err := s.check(r.subject(), version, req, r.flag("normalize"))
	var problem *Error
	if errors.As(err, &problem) && problem.Code == codeInvalidSchema && r.flag("verbose") {
		messages, err = []string{problem.Message}, nil
	}
	if err != nil {
		return nil, err
	}
	out := struct {
		Compatible bool      `json:"is_compatible"`
		Messages   *[]string `json:"messages,omitempty"`
	}{Compatible: len(messages) == 0}
	if r.flag("verbose") {
		if messages == nil {
			messages = []string{}
		}
		out.Messages = &messages
	}
	return out, nil
}

func (s *Server) removeSubject(r *request) (any, error) {
	return s.deleteSubject(r.Context(), r.subject(), r.flag("permanent"))
}

func (s *Server) removeVersion(r *request) (any, error) {
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	return s.deleteVersion(r.Context(), r.subject(), version, r.flag("permanent"))
}
