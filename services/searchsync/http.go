package searchsync

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/quokka-stream/quokka/services/kit/service"
)

// Limits of a search.
const (
	defaultLimit = 20
	maxLimit     = 500
	maxQuery     = 1000
)

// routes registers the API.
func (s *Service) routes() {
	s.http.Handle("GET /search/{kind}", s.search)
	s.http.Handle("GET /documents/{kind}/{id}", s.document)
}

// search answers GET /search/{kind}?q&limit. q is a query in bleve's language:
// words, field:word, +must, -not, "phrases".
func (s *Service) search(w http.ResponseWriter, r *http.Request) error {
	kind, err := kindOf(r)
	if err != nil {
		return err
	}
	limit := defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 || limit > maxLimit {
			return service.Invalid("invalid_query", service.FieldError{Field: "limit", Problem: "is not a number from 0 to " + strconv.Itoa(maxLimit)})
		}
	}
	query := r.URL.Query().Get("q")
	if len(query) > maxQuery {
		return service.Invalid("invalid_query", service.FieldError{Field: "q", Problem: "is longer than " + strconv.Itoa(maxQuery) + " bytes"})
	}
	found, err := s.index.Search(r.Context(), kind, query, limit)
	if errors.Is(err, ErrBadQuery) {
		return service.Invalid("invalid_query", service.FieldError{Field: "q", Problem: err.Error()})
	}
	if err != nil {
		return problemOf(err)
	}
	return service.WriteJSON(w, http.StatusOK, found)
}

// document answers GET /documents/{kind}/{id}.
func (s *Service) document(w http.ResponseWriter, r *http.Request) error {
	kind, err := kindOf(r)
	if err != nil {
		return err
	}
	doc, err := s.index.Get(r.Context(), kind, r.PathValue("id"))
	if errors.Is(err, ErrNotFound) {
		return service.NewProblem(http.StatusNotFound, "document_not_found", "%s", err)
	}
	if err != nil {
		return problemOf(err)
	}
	return service.WriteJSON(w, http.StatusOK, Hit{ID: doc.ID, Version: doc.Version.String(), Fields: doc.Fields})
}

// problemOf tells clients when trying again will help.
func problemOf(err error) error {
	if _, ok := errors.AsType[*UnavailableError](err); ok {
		return service.Unavailable("the search index is away: try again").WithCause(err)
	}
	return err
}

// kindOf is the kind named in the path.
func kindOf(r *http.Request) (Kind, error) {
	kind := Kind(r.PathValue("kind"))
	if !slices.Contains(Kinds, kind) {
		return "", service.NewProblem(http.StatusNotFound, "unknown_kind", "there are no documents of kind %q; the kinds are %v", kind, Kinds)
	}
	return kind, nil
}
