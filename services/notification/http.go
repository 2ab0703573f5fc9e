package notification

import (
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/services/kit/service"
)

// Limits of a list.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// routes registers the API.
func (s *Service) routes() {
	s.http.Handle("GET /notifications", s.listNotifications)
}

// listNotifications answers GET /notifications?order_id&customer_id&limit.
func (s *Service) listNotifications(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	f := filter{Limit: defaultLimit}
	var invalid []service.FieldError
	for name, id := range map[string]*uuid.UUID{"order_id": &f.OrderID, "customer_id": &f.CustomerID} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		var err error
		if *id, err = uuid.Parse(text); err != nil {
			invalid = append(invalid, service.FieldError{Field: name, Problem: "is not a UUID"})
		}
	}
	if text := query.Get("limit"); text != "" {
		var err error
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > maxLimit {
			invalid = append(invalid, service.FieldError{Field: "limit", Problem: "is not a number from 1 to " + strconv.Itoa(maxLimit)})
		}
	}
	if len(invalid) > 0 {
		return service.Invalid("invalid_query", invalid...)
	}
	found, err := list(r.Context(), s.pool, f)
	if err != nil {
		return err
	}
	if found == nil {
		found = []Notification{}
	}
	return service.WriteJSON(w, http.StatusOK, map[string]any{"notifications": found})
}
