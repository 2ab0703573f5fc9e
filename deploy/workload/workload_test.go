package workload

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/deploy/ledger"
)

func TestSameSeedSamePlan(t *testing.T) {
	a, b := NewPlan(7, 300), NewPlan(7, 300)
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("two plans from one seed differ:\n%s", d)
	}
	if cmp.Equal(a.Orders, NewPlan(8, 300).Orders) {
		t.Error("another seed gave the same orders")
	}
}

// TestPlanHasEveryKind: a plan of the demo's size shows what the demo is for.
func TestPlanHasEveryKind(t *testing.T) {
	for seed := range uint64(50) {
		p := NewPlan(seed, 200)
		fates, resends := map[Fate]int{}, map[Resend]int{}
		for i, o := range p.Orders {
			fates[o.Fate]++
			resends[o.Resend]++
			if len(o.Lines) == 0 || o.Customer >= len(p.Customers) {
				t.Fatalf("seed %d: order %d is %+v", seed, i, o)
			}
			seen := map[string]bool{}
			for _, line := range o.Lines {
				if seen[line.SKU] || line.Quantity < 1 {
					t.Fatalf("seed %d: order %d has lines %v", seed, i, o.Lines)
				}
				seen[line.SKU] = true
			}
		}
		for _, fate := range []Fate{Fulfilled, Scarce, TooMuch, UnknownSKU, Cancelled} {
			if fates[fate] == 0 {
				t.Errorf("seed %d: no order is %s", seed, fate)
			}
		}
		if fates[Fulfilled] < 100 || resends[AtOnce] == 0 || resends[Afterwards] == 0 || len(p.Renames) == 0 {
			t.Errorf("seed %d: fates %v, resends %v, %d renames", seed, fates, resends, len(p.Renames))
		}
		if e := p.Expect(); e.Confirmed+e.Rejected+e.Cancelled != 200 {
			t.Errorf("seed %d: expects %+v", seed, e)
		}
	}
}

func TestTinyPlans(t *testing.T) {
	for n := range 4 {
		if p := NewPlan(1, n); len(p.Orders) != n {
			t.Errorf("plan of %d orders has %d", n, len(p.Orders))
		}
	}
}

// shop answers as the services do, as far as the client can tell.
type shop struct {
	mu        sync.Mutex
	keys      map[string]string // Idempotency-Key → order
	stock     map[string]int64
	products  map[string]string // sku → name
	customers int
	cancelled map[string]bool
	bodies    []string
	flaky     bool            // every other order is stored, and its answer lost
	lost      map[string]bool // keys whose first answer was lost
	twoOrders bool            // forgets keys
}

func newShop(t *testing.T) (*shop, Config) {
	t.Helper()
	s := &shop{keys: map[string]string{}, stock: map[string]int64{}, products: map[string]string{}, cancelled: map[string]bool{}, lost: map[string]bool{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	l, err := ledger.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return s, Config{OrderURL: server.URL, InventoryURL: server.URL, Ledger: l}
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	answer := func(status int, v any) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	switch {
	case r.Method == "PUT" && path[0] == "products":
		var p struct {
			Name    string
			Initial *int64 `json:"initial_stock"`
		}
		json.Unmarshal(body, &p)
		if p.Initial != nil {
			if s.products[path[1]] != "" {
				answer(409, map[string]string{"code": "initial_stock_fixed"})
				return
			}
			s.stock[path[1]] = *p.Initial
		}
		s.products[path[1]] = p.Name
		answer(200, p)
	case r.Method == "GET" && path[0] == "stock":
		answer(200, map[string]int64{"available": s.stock[path[1]]})
	case path[0] == "stock" && path[2] == "restock":
		var q struct{ Quantity int64 }
		json.Unmarshal(body, &q)
		s.stock[path[1]] += q.Quantity
		answer(200, nil)
	case path[0] == "customers":
		s.customers++
		answer(201, map[string]string{"customer_id": fmt.Sprint("c", s.customers)})
	case len(path) == 3 && path[2] == "cancel":
		s.cancelled[path[1]] = true
		answer(200, nil)
	case path[0] == "orders":
		key := r.Header.Get("Idempotency-Key")
		if s.keys[key] == "" || s.twoOrders {
			s.keys[key] = fmt.Sprint("o", len(s.bodies)+1)
			s.bodies = append(s.bodies, string(body))
		}
		if s.flaky && len(s.bodies)%2 == 0 && !s.lost[key] {
			s.lost[key] = true
			answer(503, map[string]string{"code": "unavailable"})
			return
		}
		answer(202, map[string]string{"order_id": s.keys[key]})
	default:
		answer(404, map[string]string{"code": "not_found", "title": "nothing here"})
	}
}

func TestRunCarriesOutThePlan(t *testing.T) {
	s, cfg := newShop(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("net/http.(*conn).serve"))
	s.flaky = true
	plan := NewPlan(3, 120)
	var last int
	var mu sync.Mutex
	cfg.Placed = func(done int) { mu.Lock(); last = max(last, done); mu.Unlock() }
	for range 2 { // the second run finds the catalogue of the first
		result, err := Run(t.Context(), cfg, plan)
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.stock[plan.Products[1].SKU]-- // somebody bought one
		s.mu.Unlock()
		distinct := map[string]bool{}
		for _, o := range result.Orders {
			distinct[o.OrderID] = true
			if o.SentAt.IsZero() {
				t.Errorf("order %+v has no time", o)
			}
		}
		if len(distinct) != 120 || last != 120 {
			t.Errorf("%d distinct orders, progress to %d, want 120", len(distinct), last)
		}
		if result.Resent == 0 || result.Cancels != plan.Expect().Cancelled || result.Renames != len(plan.Renames) {
			t.Errorf("result: %+v", result)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bodies) != 240 || len(s.cancelled) != 2*plan.Expect().Cancelled {
		t.Errorf("the shop has %d orders, %d cancelled", len(s.bodies), len(s.cancelled))
	}
	for _, p := range plan.Products {
		if s.stock[p.SKU] < p.Stock-1 || s.products[p.SKU] == "" {
			t.Errorf("product %s: stock %d, want at least %d", p.SKU, s.stock[p.SKU], p.Stock)
		}
	}
}

// TestRateIsKept: with a rate, orders are due in even steps from the first,
// however many workers send them.
func TestRateIsKept(t *testing.T) {
	for _, workers := range []int{1, 0} {
		_, cfg := newShop(t)
		cfg.Rate, cfg.Workers = 500, workers
		result, err := Run(t.Context(), cfg, NewPlan(1, 30))
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range result.Orders {
			if got, want := o.SentAt.Sub(result.Orders[0].SentAt), time.Duration(i)*2*time.Millisecond; got != want {
				t.Errorf("%d workers: order %d was due after %v, want %v", workers, i, got, want)
			}
		}
		if result.Took < 29*2*time.Millisecond {
			t.Errorf("30 orders at 500 a second took %v", result.Took)
		}
	}
}

func TestLedgerHasWhatWasAccepted(t *testing.T) {
	_, cfg := newShop(t)
	dir := t.TempDir()
	l, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.Ledger = l
	result, err := Run(t.Context(), cfg, NewPlan(5, 50))
	if err != nil {
		t.Fatal(err)
	}
	sent, accepted, err := ledger.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	orders := map[string]bool{}
	for _, a := range accepted {
		orders[a.OrderID] = true
	}
	if len(sent) != 50 || len(orders) != 50 || len(accepted) != 50+result.Resent {
		t.Errorf("%d sent, %d accepted, %d distinct, %d resent", len(sent), len(accepted), len(orders), result.Resent)
	}
}

func TestRefusalsAndBrokenPromises(t *testing.T) {
	s, cfg := newShop(t)
	s.twoOrders = true
	_, err := Run(t.Context(), cfg, NewPlan(3, 60))
	if err == nil || !strings.Contains(err.Error(), "one Idempotency-Key, two orders") {
		t.Errorf("two orders for one key: %v", err)
	}
	cfg.OrderURL += "/nowhere"
	_, err = Run(t.Context(), cfg, NewPlan(3, 10))
	if err == nil || !strings.Contains(err.Error(), "HTTP 404 not_found: nothing here") {
		t.Errorf("refused: %v", err)
	}
}
