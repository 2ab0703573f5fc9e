package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/quokka-stream/quokka/deploy/ledger"
)

// Config says where a plan is carried out.
type Config struct {
	// OrderURL and InventoryURL are the base addresses of the two services.
	OrderURL, InventoryURL string
	// Ledger takes what was sent and accepted.
	Ledger *ledger.Ledger
	// Workers place orders at the same time; zero means 8, and 64 with a Rate.
	Workers int
	// Rate is how many orders are sent a second, whether or not those before them
	// were answered, as long as a worker is free: a slow platform gets no less to
	// do. Zero means as fast as the workers get answers.
	Rate float64
	// Patience is how long one request is tried; zero means 30 seconds.
	Patience time.Duration
	// Placed, if set, is told each time one more order is accepted.
	Placed func(done int)
}

// Result is what a run did, as its client saw it.
type Result struct {
	// Orders are the accepted orders, in the plan's order.
	Orders []Placed
	// Resent counts requests sent twice, Cancels the cancellations answered,
	// Renames the products given a new name.
	Resent, Cancels, Renames int
	// Took is how long placing took, from the first request to the last answer.
	Took time.Duration
}

// Placed is an accepted order.
type Placed struct {
	OrderID string
	Fate    Fate
	// SentAt is when the request first left, or with a Rate when it was due: an
	// order that waited for a worker has waited for the platform.
	SentAt time.Time
}

// Run carries out the plan: first catalogue and customers, then the orders.
func Run(ctx context.Context, cfg Config, plan Plan) (Result, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = 8
		if cfg.Rate > 0 {
			cfg.Workers = 64
		}
	}
	if cfg.Patience <= 0 {
		cfg.Patience = patience
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 4 * cfg.Workers}
	defer transport.CloseIdleConnections()
	r := &run{
		cfg: cfg, plan: plan, id: uuid.NewString(),
		client: client{http: &http.Client{Transport: transport}, patience: cfg.Patience},
		placed: make([]Placed, len(plan.Orders)),
	}
	if err := r.stockUp(ctx); err != nil {
		return Result{}, fmt.Errorf("fill the catalogue: %w", err)
	}
	if err := r.register(ctx); err != nil {
		return Result{}, fmt.Errorf("make customers: %w", err)
	}
	begin := time.Now()
	if err := r.placeAll(ctx); err != nil {
		return Result{}, err
	}
	return Result{
		Orders: r.placed, Took: time.Since(begin),
		Resent: int(r.resent.Load()), Cancels: int(r.cancels.Load()), Renames: int(r.renames.Load()),
	}, nil
}

// run is a plan being carried out.
type run struct {
	cfg       Config
	plan      Plan
	id        string // makes this run's keys its own
	client    client
	customers []string // ids, by the plan's index
	placed    []Placed

	done                     atomic.Int64
	resent, cancels, renames atomic.Int64
}

// stockUp makes the products, or names them anew where a run before made them,
// and sees to it that there is what the plan needs.
func (r *run) stockUp(ctx context.Context) error {
	return r.each(ctx, len(r.plan.Products), func(ctx context.Context, i int) error {
		p := r.plan.Products[i]
		err := r.putProduct(ctx, p, p.Name, &p.Stock)
		if isCode(err, "initial_stock_fixed") {
			err = r.putProduct(ctx, p, p.Name, nil)
		}
		if err != nil {
			return err
		}
		var stock struct {
			Available int64 `json:"available"`
		}
		sku := r.cfg.InventoryURL + "/stock/" + url.PathEscape(p.SKU)
		if err := r.client.call(ctx, http.MethodGet, sku, nil, nil, &stock); err != nil {
			return err
		}
		if missing := p.Stock - stock.Available; missing > 0 {
			return r.client.call(ctx, http.MethodPost, sku+"/restock", nil, map[string]int64{"quantity": missing}, nil)
		}
		return nil
	})
}

func (r *run) putProduct(ctx context.Context, p Product, name string, initial *int64) error {
	body := struct {
		Name         string `json:"name"`
		Description  string `json:"description"`
		PriceCents   int64  `json:"price_cents"`
		Currency     string `json:"currency"`
		InitialStock *int64 `json:"initial_stock,omitempty"`
	}{name, p.Description, p.PriceCents, "EUR", initial}
	return r.client.call(ctx, http.MethodPut, r.cfg.InventoryURL+"/products/"+url.PathEscape(p.SKU), nil, body, nil)
}

// register makes the plan's customers.
func (r *run) register(ctx context.Context) error {
	r.customers = make([]string, len(r.plan.Customers))
	return r.each(ctx, len(r.customers), func(ctx context.Context, i int) error {
		var made struct {
			CustomerID string `json:"customer_id"`
		}
		body := map[string]string{"name": r.plan.Customers[i].Name, "email": r.plan.Customers[i].Email}
		if err := r.client.call(ctx, http.MethodPost, r.cfg.OrderURL+"/customers", nil, body, &made); err != nil {
			return err
		}
		r.customers[i] = made.CustomerID
		return nil
	})
}

// each calls f for 0 … n-1, a few at a time.
func (r *run) each(ctx context.Context, n int, f func(context.Context, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Workers)
	for i := range n {
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

// placeAll places the orders; cancels and renames happen beside it, and are
// done when it returns.
func (r *run) placeAll(ctx context.Context) error {
	beside, besideCtx := errgroup.WithContext(ctx)
	begin := time.Now()
	err := r.each(besideCtx, len(r.plan.Orders), func(ctx context.Context, i int) error {
		due, err := r.awaitTurn(ctx, begin, i)
		if err != nil {
			return err
		}
		if err := r.place(ctx, i, due); err != nil {
			return err
		}
		if o := r.plan.Orders[i]; o.Fate == Cancelled {
			beside.Go(func() error { return r.cancel(besideCtx, r.placed[i].OrderID, o.CancelAfter) })
		}
		done := int(r.done.Add(1))
		for _, rename := range r.plan.Renames {
			if rename.AfterOrders == done-1 {
				beside.Go(func() error { return r.rename(besideCtx, rename) })
			}
		}
		if r.cfg.Placed != nil {
			r.cfg.Placed(done)
		}
		return nil
	})
	besideErr := beside.Wait()
	if besideErr != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		err = nil // placing ended because of what failed beside it
	}
	return errors.Join(err, besideErr)
}

// awaitTurn returns when order i is due, and since when it was.
func (r *run) awaitTurn(ctx context.Context, begin time.Time, i int) (time.Time, error) {
	if r.cfg.Rate <= 0 {
		return time.Now(), ctx.Err()
	}
	due := begin.Add(time.Duration(float64(i) / r.cfg.Rate * float64(time.Second)))
	select {
	case <-ctx.Done():
		return due, ctx.Err()
	case <-time.After(time.Until(due)):
		return due, nil
	}
}

// place places one order, once or twice, that was due at the given time.
func (r *run) place(ctx context.Context, i int, sent time.Time) error {
	o := r.plan.Orders[i]
	key := fmt.Sprintf("demo-%s-%d", r.id, i)
	customer := r.customers[o.Customer]
	if err := r.cfg.Ledger.Send(ledger.Sent{Key: key, CustomerID: customer, At: sent}); err != nil {
		return err
	}
	post := func() (string, error) {
		var accepted struct {
			OrderID string `json:"order_id"`
		}
		body := struct {
			CustomerID string `json:"customer_id"`
			Lines      []Line `json:"lines"`
		}{customer, o.Lines}
		err := r.client.call(ctx, http.MethodPost, r.cfg.OrderURL+"/orders", map[string]string{"Idempotency-Key": key}, body, &accepted)
		if err != nil {
			return "", fmt.Errorf("order %d of the plan was not accepted: %w", i+1, err)
		}
		return accepted.OrderID, r.cfg.Ledger.Accept(ledger.Accepted{Key: key, CustomerID: customer, OrderID: accepted.OrderID, At: time.Now()})
	}
	var (
		wg     sync.WaitGroup
		again  string
		errTwo error
	)
	if o.Resend == AtOnce {
		wg.Go(func() { again, errTwo = post() })
	}
	order, err := post()
	wg.Wait()
	if o.Resend == Afterwards && err == nil {
		again, errTwo = post()
	}
	if err := errors.Join(err, errTwo); err != nil {
		return err
	}
	if o.Resend != Once {
		r.resent.Add(1)
		// The ledger has both answers, so the checker sees this too.
		if again != order {
			return fmt.Errorf("one Idempotency-Key, two orders: %s answered with %s, then with %s", key, order, again)
		}
	}
	r.placed[i] = Placed{OrderID: order, Fate: o.Fate, SentAt: sent}
	return nil
}

func (r *run) cancel(ctx context.Context, order string, after time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(after):
	}
	err := r.client.call(ctx, http.MethodPost, r.cfg.OrderURL+"/orders/"+order+"/cancel", nil, nil, nil)
	if err != nil {
		return fmt.Errorf("cancel order %s: %w", order, err)
	}
	r.cancels.Add(1)
	return nil
}

func (r *run) rename(ctx context.Context, n Rename) error {
	if err := r.putProduct(ctx, r.plan.Products[n.Product], n.Name, nil); err != nil {
		return fmt.Errorf("rename product %s: %w", r.plan.Products[n.Product].SKU, err)
	}
	r.renames.Add(1)
	return nil
}
