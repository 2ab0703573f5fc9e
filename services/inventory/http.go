package inventory

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/quokka-stream/quokka/services/kit/service"
)

func (s *Service) routes(h *service.HTTP) {
	h.Handle("GET /products", s.listProducts)
	h.Handle("GET /products/{sku}", s.getProduct)
	h.Handle("PUT /products/{sku}", s.putProduct)
	h.Handle("DELETE /products/{sku}", s.deleteProduct)
	h.Handle("GET /stock/{sku}", s.getStock)
	h.Handle("POST /stock/{sku}/restock", s.restock)
}

// Limits of the catalogue's texts and of one restock.
const (
	maxName        = 200
	maxDescription = 10_000
	maxPrice       = 1_000_000_000_00
	maxRestock     = 1_000_000_000
)

// skuPattern is what a sku may be. Orders may ask for anything; such a product then
// does not exist.
var skuPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

var currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)

// productRequest is the body of PUT /products/{sku}.
type productRequest struct {
	Name         string `json:"name"`
	Description  string `json:"description"`
	PriceCents   int64  `json:"price_cents"`
	Currency     string `json:"currency"`
	InitialStock *int32 `json:"initial_stock"`
}

func (r productRequest) validate() (wrong []service.FieldError) {
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, service.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	if n := utf8.RuneCountInString(r.Name); n < 1 || n > maxName || strings.ContainsFunc(r.Name, unicode.IsControl) {
		bad("name", "must have 1 to %d characters, none of them control characters", maxName)
	}
	if utf8.RuneCountInString(r.Description) > maxDescription || strings.ContainsRune(r.Description, 0) {
		bad("description", "must have at most %d characters, none of them NUL", maxDescription)
	}
	if r.PriceCents < 0 || r.PriceCents > maxPrice {
		bad("price_cents", "must be 0 to %d", int64(maxPrice))
	}
	if !currencyPattern.MatchString(r.Currency) {
		bad("currency", "must be three capital letters, such as EUR")
	}
	if r.InitialStock != nil && (*r.InitialStock < 0 || *r.InitialStock > maxRestock) {
		bad("initial_stock", "must be 0 to %d", maxRestock)
	}
	return wrong
}

func (s *Service) putProduct(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	var req productRequest
	if err := service.ReadJSON(r, &req); err != nil {
		return err
	}
	wrong := req.validate()
	if !skuPattern.MatchString(sku) {
		wrong = append(wrong, service.FieldError{Field: "sku", Problem: "must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"})
	}
	if len(wrong) > 0 {
		return service.Invalid("invalid_product", wrong...)
	}
	p, created, err := s.store.putProduct(r.Context(), Product{
		SKU: sku, Name: req.Name, Description: req.Description, PriceCents: req.PriceCents, Currency: req.Currency,
	}, req.InitialStock)
	if err != nil {
		return problem(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", "/products/"+sku)
	}
	s.log.InfoContext(r.Context(), "product stored", "sku", sku, "created", created)
	return service.WriteJSON(w, status, p)
}

func (s *Service) getProduct(w http.ResponseWriter, r *http.Request) error {
	p, err := s.store.product(r.Context(), pathSKU(r))
	if err != nil {
		return problem(err)
	}
	return service.WriteJSON(w, http.StatusOK, p)
}

func (s *Service) deleteProduct(w http.ResponseWriter, r *http.Request) error {
	sku := pathSKU(r)
	if err := s.store.deleteProduct(r.Context(), sku); err != nil {
		return problem(err)
	}
	s.log.InfoContext(r.Context(), "product deleted", "sku", sku)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// productList is a page of the catalogue; Next is what to pass as after for the
// one behind it.
type productList struct {
	Products []Product `json:"products"`
	Next     string    `json:"next,omitempty"`
}

func (s *Service) listProducts(w http.ResponseWriter, r *http.Request) error {
	limit, after := 50, ""
	var wrong []service.FieldError
	for name, values := range r.URL.Query() {
		v := values[len(values)-1]
		switch name {
		case "limit":
			var err error
			if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > 500 {
				wrong = append(wrong, service.FieldError{Field: name, Problem: "must be 1 to 500"})
			}
		case "after":
			if after = v; !skuPattern.MatchString(v) {
				wrong = append(wrong, service.FieldError{Field: name, Problem: "is not a sku"})
			}
		default:
			wrong = append(wrong, service.FieldError{Field: name, Problem: "is not a parameter: limit and after are"})
		}
	}
	if len(wrong) > 0 {
		return service.InvalidQuery(wrong...)
	}
	products, err := s.store.products(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	page := productList{Products: products}
	if len(products) > limit {
		page.Products = products[:limit]
		page.Next = products[limit-1].SKU
	}
	return service.WriteJSON(w, http.StatusOK, page)
}

func (s *Service) getStock(w http.ResponseWriter, r *http.Request) error {
	st, err := s.store.stock(r.Context(), s.store.pool, pathSKU(r))
	if err != nil {
		return problem(err)
	}
	return service.WriteJSON(w, http.StatusOK, st)
}

// restockRequest is the body of POST /stock/{sku}/restock.
type restockRequest struct {
	Quantity int32 `json:"quantity"`
}

func (s *Service) restock(w http.ResponseWriter, r *http.Request) error {
	var req restockRequest
	if err := service.ReadJSON(r, &req); err != nil {
		return err
	}
	if req.Quantity < 1 || req.Quantity > maxRestock {
		return service.Invalid("invalid_restock", service.FieldError{Field: "quantity", Problem: fmt.Sprintf("must be 1 to %d", maxRestock)})
	}
	st, err := s.store.restock(r.Context(), pathSKU(r), req.Quantity)
	if err != nil {
		return problem(err)
	}
	s.log.InfoContext(r.Context(), "stock added", "sku", st.SKU, "quantity", req.Quantity, "available", st.Available)
	return service.WriteJSON(w, http.StatusOK, st)
}

// pathSKU reads the sku in the path; one that cannot exist is as unknown as the
// empty one.
func pathSKU(r *http.Request) string {
	if sku := r.PathValue("sku"); skuPattern.MatchString(sku) {
		return sku
	}
	return ""
}

// problem gives the service's errors their status and code.
func problem(err error) error {
	switch {
	case errors.Is(err, errUnknownProduct):
		return service.NewProblem(http.StatusNotFound, "product_not_found", "there is no such product")
	case errors.Is(err, errInitialFixed):
		return service.NewProblem(http.StatusConflict, "initial_stock_fixed", "the product has its initial stock already: POST /stock/{sku}/restock adds to it")
	case errors.Is(err, errStockLimit):
		return service.NewProblem(http.StatusUnprocessableEntity, "stock_limit", "there may be %d of a product at most", maxStock)
	}
	return err
}
