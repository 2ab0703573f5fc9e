package order

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// orderResponse is an order as clients see it.
type orderResponse struct {
	OrderID    uuid.UUID `json:"order_id"`
	CustomerID uuid.UUID `json:"customer_id"`
	Status     Status    `json:"status"`
	Version    int32     `json:"version"`
	Lines      []Line    `json:"lines"`
	Reason     string    `json:"reason,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func respond(o State) orderResponse { return orderResponse(o) }

func (s *Service) routes(h *service.HTTP) {
	h.Handle("POST /orders", s.postOrder)
	h.Handle("GET /orders", s.listOrders)
	h.Handle("GET /orders/{id}", s.getOrder)
	h.Handle("GET /orders/{id}/history", s.getHistory)
	h.Handle("POST /orders/{id}/cancel", s.cancelOrder)
	h.Handle("POST /customers", s.postCustomer)
	h.Handle("GET /customers/{id}", s.getCustomer)
	h.Handle("PUT /customers/{id}", s.putCustomer)
	h.Handle("DELETE /customers/{id}", s.deleteCustomer)
}

func (s *Service) postOrder(w http.ResponseWriter, r *http.Request) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	var req placeRequest
	if err := service.ReadJSON(r, &req); err != nil {
		return err
	}
	customer, wrong := req.validate()
	if len(wrong) > 0 {
		return service.Invalid("invalid_order", wrong...)
	}
	p, err := s.place(r.Context(), key, req, customer)
	if err != nil {
		if errors.Is(err, errUnknownCustomer) {
			return service.Invalid("unknown_customer", service.FieldError{Field: "customer_id", Problem: "is not a customer"})
		}
		return problem(err)
	}
	if p.repeated {
		// A repeated request is a trace of its own, linked to the order's.
		link(r, p.traceparent)
		w.Header().Set("Idempotency-Replayed", "true")
	} else {
		s.relay.Hint()
		s.metrics.changed(r.Context(), State{Status: Pending})
		s.log.InfoContext(r.Context(), "order placed", "order_id", p.response.OrderID, "customer_id", p.response.CustomerID, "lines", len(p.response.Lines))
	}
	w.Header().Set("Location", "/orders/"+p.response.OrderID.String())
	return service.WriteJSON(w, p.status, p.response)
}

// idempotencyKey reads the header Idempotency-Key, "" if there is none.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	ok := len(values) == 1 && len(key) >= 1 && len(key) <= 255
	for i := range len(key) {
		ok = ok && key[i] > ' ' && key[i] < 0x7f
	}
	if !ok {
		return "", service.NewProblem(http.StatusBadRequest, "invalid_idempotency_key", "Idempotency-Key must be one value of 1 to 255 visible ASCII characters, such as a UUID")
	}
	return key, nil
}

// link links the request's span to the trace in which an order was placed.
func link(r *http.Request, traceparent string) {
	ctx := telemetry.Propagator.Extract(r.Context(), propagation.MapCarrier{"traceparent": traceparent})
	if sc := trace.SpanContextFromContext(ctx); traceparent != "" && sc.IsValid() {
		trace.SpanFromContext(r.Context()).AddLink(trace.Link{SpanContext: sc})
	}
}

func (s *Service) cancelOrder(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "order")
	if err != nil {
		return err
	}
	var req cancelRequest
	if r.ContentLength != 0 {
		if err := service.ReadJSON(r, &req); err != nil {
			return err
		}
	}
	if wrong := req.validate(); len(wrong) > 0 {
		return service.Invalid("invalid_cancellation", wrong...)
	}
	customer, traceparent, err := s.store.customerOf(r.Context(), id)
	if err != nil {
		return problem(err)
	}
	link(r, traceparent)
	var o State
	var changed bool
	err = postgres.InTx(r.Context(), s.store.pool, func(tx pgx.Tx) (err error) {
		o, changed, err = s.store.transition(r.Context(), tx, customer, id, func(o State) (events.Event, error) {
			return o.Cancel(req.Reason, time.Now())
		})
		return err
	})
	if err != nil {
		return problem(err)
	}
	if changed {
		s.relay.Hint()
		s.metrics.changed(r.Context(), o)
		s.log.InfoContext(r.Context(), "order cancelled", "order_id", o.OrderID, "customer_id", o.CustomerID, "version", o.Version)
	}
	return service.WriteJSON(w, http.StatusOK, respond(o))
}

func (s *Service) getOrder(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "order")
	if err != nil {
		return err
	}
	o, err := s.store.load(r.Context(), s.store.pool, id, false)
	if err != nil {
		return problem(err)
	}
	return service.WriteJSON(w, http.StatusOK, respond(o))
}

func (s *Service) getHistory(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "order")
	if err != nil {
		return err
	}
	history, err := s.store.history(r.Context(), id)
	if err != nil {
		return problem(err)
	}
	return service.WriteJSON(w, http.StatusOK, map[string]any{"order_id": id, "events": history})
}

// orderList is a page of orders; Next is what to pass as after for the one behind
// it.
type orderList struct {
	Orders []orderResponse `json:"orders"`
	Next   string          `json:"next,omitempty"`
}

func (s *Service) listOrders(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilter(r)
	if err != nil {
		return err
	}
	f.Limit++ // one more shows whether there is a next page
	orders, err := s.store.list(r.Context(), f)
	if err != nil {
		return err
	}
	page := orderList{Orders: []orderResponse{}}
	for _, o := range orders {
		if len(page.Orders) == f.Limit-1 {
			page.Next = page.Orders[len(page.Orders)-1].OrderID.String()
			break
		}
		page.Orders = append(page.Orders, respond(o))
	}
	return service.WriteJSON(w, http.StatusOK, page)
}

func parseFilter(r *http.Request) (f filter, err error) {
	var wrong []service.FieldError
	bad := func(field, problem string) { wrong = append(wrong, service.FieldError{Field: field, Problem: problem}) }
	f.Limit = 50
	for name, values := range r.URL.Query() {
		v := values[len(values)-1]
		switch name {
		case "customer_id":
			if f.Customer, err = parseUUID(v); err != nil {
				bad(name, "is not a UUID")
			}
		case "after":
			if f.After, err = parseUUID(v); err != nil {
				bad(name, "is not an order id")
			}
		case "status":
			f.Status = Status(v)
			switch f.Status {
			case Pending, Confirmed, Rejected, Cancelled:
			default:
				bad(name, "must be pending, confirmed, rejected or cancelled")
			}
		case "limit":
			if f.Limit, err = strconv.Atoi(v); err != nil || f.Limit < 1 || f.Limit > 500 {
				bad(name, "must be 1 to 500")
			}
		default:
			bad(name, "is not a parameter: customer_id, status, limit and after are")
		}
	}
	if len(wrong) > 0 {
		return f, service.InvalidQuery(wrong...)
	}
	return f, nil
}

func (s *Service) postCustomer(w http.ResponseWriter, r *http.Request) error {
	var req customerRequest
	if err := service.ReadJSON(r, &req); err != nil {
		return err
	}
	if wrong := req.validate(); len(wrong) > 0 {
		return service.Invalid("invalid_customer", wrong...)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	c, err := s.store.insertCustomer(r.Context(), id, req)
	if err != nil {
		return problem(err)
	}
	s.log.InfoContext(r.Context(), "customer created", "customer_id", c.CustomerID)
	w.Header().Set("Location", "/customers/"+c.CustomerID.String())
	return service.WriteJSON(w, http.StatusCreated, c)
}

func (s *Service) getCustomer(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "customer")
	if err != nil {
		return err
	}
	c, err := s.store.customer(r.Context(), id)
	if err != nil {
		return problem(err)
	}
	return service.WriteJSON(w, http.StatusOK, c)
}

func (s *Service) putCustomer(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "customer")
	if err != nil {
		return err
	}
	var req customerRequest
	if err := service.ReadJSON(r, &req); err != nil {
		return err
	}
	if wrong := req.validate(); len(wrong) > 0 {
		return service.Invalid("invalid_customer", wrong...)
	}
	c, err := s.store.updateCustomer(r.Context(), id, req)
	if err != nil {
		return problem(err)
	}
	s.log.InfoContext(r.Context(), "customer changed", "customer_id", c.CustomerID)
	return service.WriteJSON(w, http.StatusOK, c)
}

func (s *Service) deleteCustomer(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "customer")
	if err != nil {
		return err
	}
	if err := s.store.deleteCustomer(r.Context(), id); err != nil {
		return problem(err)
	}
	s.log.InfoContext(r.Context(), "customer deleted", "customer_id", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pathID reads the id in the path. What is no UUID names nothing.
func pathID(r *http.Request, kind string) (uuid.UUID, error) {
	id, err := parseUUID(r.PathValue("id"))
	if err != nil {
		return id, service.NewProblem(http.StatusNotFound, kind+"_not_found", "%q is not the id of a %s", r.PathValue("id"), kind)
	}
	return id, nil
}

// problem gives the service's errors their status and code.
func problem(err error) error {
	switch {
	case errors.Is(err, errUnknownOrder):
		return service.NewProblem(http.StatusNotFound, "order_not_found", "there is no such order")
	case errors.Is(err, errUnknownCustomer):
		return service.NewProblem(http.StatusNotFound, "customer_not_found", "there is no such customer")
	case errors.Is(err, errHasOrders):
		return service.NewProblem(http.StatusConflict, "customer_has_orders", "a customer with orders cannot be deleted")
	case errors.Is(err, ErrRejected):
		return service.NewProblem(http.StatusConflict, "order_rejected", "the order was rejected: there is nothing to cancel")
	}
	return err
}
