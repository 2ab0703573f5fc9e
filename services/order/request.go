package order

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/services/kit/service"
)

// Limits of what may be ordered.
const (
	maxLines    = 100
	maxQuantity = 1_000_000
	maxSKU      = 64
	maxReason   = 500
	maxName     = 200
	maxEmail    = 254 // RFC 5321
)

// placeRequest is the body of POST /orders.
type placeRequest struct {
	CustomerID string `json:"customer_id"`
	Lines      []Line `json:"lines"`
}

// validate returns the customer's id, and all that is wrong.
func (r placeRequest) validate() (customer uuid.UUID, wrong []service.FieldError) {
	customer, err := parseUUID(r.CustomerID)
	if err != nil {
		wrong = append(wrong, service.FieldError{Field: "customer_id", Problem: "is not a UUID"})
	}
	if len(r.Lines) < 1 || len(r.Lines) > maxLines {
		wrong = append(wrong, service.FieldError{Field: "lines", Problem: fmt.Sprintf("must be 1 to %d lines", maxLines)})
	}
	seen := map[string]bool{}
	for i, l := range r.Lines {
		if i >= maxLines {
			break
		}
		at := fmt.Sprintf("lines[%d].", i)
		if problem := textProblem(l.SKU, 1, maxSKU); problem != "" {
			wrong = append(wrong, service.FieldError{Field: at + "sku", Problem: problem})
		} else if seen[l.SKU] {
			wrong = append(wrong, service.FieldError{Field: at + "sku", Problem: "is on another line too: add the quantities up"})
		}
		seen[l.SKU] = true
		if l.Quantity < 1 || l.Quantity > maxQuantity {
			wrong = append(wrong, service.FieldError{Field: at + "quantity", Problem: fmt.Sprintf("must be 1 to %d", maxQuantity)})
		}
	}
	return customer, wrong
}

// customerRequest is the body of POST and PUT of customers.
type customerRequest struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

func (r customerRequest) validate() (wrong []service.FieldError) {
	if problem := textProblem(r.Name, 1, maxName); problem != "" {
		wrong = append(wrong, service.FieldError{Field: "name", Problem: problem})
	}
	if problem := textProblem(r.Email, 3, maxEmail); problem != "" {
		wrong = append(wrong, service.FieldError{Field: "email", Problem: problem})
	} else if a, err := mail.ParseAddress(r.Email); err != nil || a.Address != r.Email {
		wrong = append(wrong, service.FieldError{Field: "email", Problem: "is not a mail address, such as ada@example.org"})
	}
	return wrong
}

// cancelRequest is the body of POST /orders/{id}/cancel, which may be left out.
type cancelRequest struct {
	Reason string `json:"reason"`
}

func (r cancelRequest) validate() (wrong []service.FieldError) {
	if problem := textProblem(r.Reason, 0, maxReason); problem != "" {
		wrong = append(wrong, service.FieldError{Field: "reason", Problem: problem})
	}
	return wrong
}

// textProblem says what is wrong with a text of min to max characters on one line,
// "" if nothing. Control characters would reach mail headers and terminals; NUL is
// nothing that PostgreSQL can store.
func textProblem(s string, least, most int) string {
	n := utf8.RuneCountInString(s)
	switch {
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case n < least || n > most:
		return fmt.Sprintf("must have %d to %d characters", least, most)
	case strings.ContainsFunc(s, unicode.IsControl):
		return "must not have control characters"
	case s != strings.TrimSpace(s):
		return "must not begin or end with space"
	}
	return ""
}

// parseUUID accepts the 36-character form only: uuid.Parse takes four more, and
// one order must not have five addresses.
func parseUUID(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.UUID{}, fmt.Errorf("%q is not a UUID", s)
	}
	return uuid.Parse(s)
}
