package template

import (
	"net/http"
	"strconv"

	"github.com/quokka-stream/quokka/services/kit/service"
)

// Limits of a list.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// routes registers the API.
func (s *Service) routes(h *service.HTTP) {
	h.Handle("GET /entries", s.listEntries)
}

// listEntries answers GET /entries?subject&limit.
func (s *Service) listEntries(w http.ResponseWriter, r *http.Request) error {
	limit := defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			return service.InvalidQuery(service.FieldError{Field: "limit", Problem: "must be 1 to " + strconv.Itoa(maxLimit)})
		}
	}
	found, err := s.store.entries(r.Context(), r.URL.Query().Get("subject"), limit)
	if err != nil {
		return err
	}
	if found == nil {
		found = []Entry{}
	}
	return service.WriteJSON(w, http.StatusOK, map[string]any{"entries": found})
}
