package inventory_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/inventory"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is an inventory service on a platform of its own.
type harness struct {
	t        *testing.T
	platform *kittest.Platform
	cfg      inventory.Config
	*kittest.Running
	db *pgx.Conn
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, platform: kittest.NewPlatform(t)}
	h.cfg = inventory.Config{Config: h.platform.Config}
	h.cfg.PostgresURL, h.cfg.Database = kittest.Database(t)
	h.run()
	h.db = kittest.Connect(t, h.cfg.PostgresURL, h.cfg.Database)
	return h
}

// run starts the service, again after a Stop.
func (h *harness) run() {
	h.t.Helper()
	h.cfg.Listener = kittest.Listener(h.t)
	s, err := inventory.New(h.t.Context(), h.cfg, kittest.Telemetry(h.t, telemetry.Config{Service: inventory.Name}))
	if err != nil {
		h.t.Fatal(err)
	}
	h.Running = kittest.Run(h.t, s)
}

// product creates a product with a stock.
func (h *harness) product(sku string, stock int) {
	h.t.Helper()
	a := h.Do("PUT", "/products/"+sku, map[string]any{"name": sku, "price_cents": 100, "currency": "EUR", "initial_stock": stock})
	if a.Status != 201 {
		h.t.Fatalf("PUT /products/%s: %d %s", sku, a.Status, a.Body)
	}
}

func (h *harness) stock(sku string) inventory.Stock {
	h.t.Helper()
	a := h.Do("GET", "/stock/"+sku, nil)
	if a.Status != 200 {
		h.t.Fatalf("GET /stock/%s: %d %s", sku, a.Status, a.Body)
	}
	var st inventory.Stock
	a.Into(h.t, &st)
	return st
}

// order is an order as the order service announces it.
type order struct{ id, customer string }

func newOrder() order {
	return order{uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()}
}

func (o order) placed(lines ...events.OrderLine) *events.OrderPlaced {
	return &events.OrderPlaced{OrderID: o.id, CustomerID: o.customer, Version: 1, OccurredAt: time.Now(), Lines: lines}
}

func (o order) cancelled() *events.OrderCancelled {
	return &events.OrderCancelled{OrderID: o.id, CustomerID: o.customer, Version: 2, OccurredAt: time.Now()}
}

// send announces an event of an order under a new event id.
func (h *harness) send(o order, e events.Event) {
	h.t.Helper()
	h.platform.Emit(h.t, schemas.TopicOrders, o.customer, uuid.NewString(), e)
}

// answers waits for n events about the order's customer and returns their names.
func (h *harness) answers(o order, n int) []events.Event {
	h.t.Helper()
	var got []events.Event
	kittest.Eventually(h.t, "inventory's answers", func() bool {
		got = h.platform.Read(h.t, schemas.TopicInventory)[o.customer]
		return len(got) >= n
	})
	if len(got) > n {
		h.t.Errorf("%d answers, want %d: %v", len(got), n, got)
	}
	return got
}

// settled waits until the service has handled everything on orders.v1.
func (h *harness) settled() {
	h.t.Helper()
	client := kittest.Client(h.t, h.cfg.KafkaBrokers)
	defer client.Close()
	want := int64(len(kittest.ReadAll(h.t, h.cfg.KafkaBrokers, schemas.TopicOrders)))
	kittest.Eventually(h.t, "inventory to have handled all", func() bool {
		return kittest.Committed(h.t, client, inventory.Name, schemas.TopicOrders) == want
	})
}

func (h *harness) status(o order) (status string) {
	h.t.Helper()
	if err := h.db.QueryRow(h.t.Context(), `select status from reservations where order_id = $1`, o.id).Scan(&status); err != nil {
		h.t.Fatal(err)
	}
	return status
}

// conserved checks that every product's stock is the sum of its movements.
func (h *harness) conserved() {
	h.t.Helper()
	var wrong int
	err := h.db.QueryRow(h.t.Context(), `select count(*) from stock s
		where s.available <> (select coalesce(sum(quantity), 0) from stock_movements m where m.sku = s.sku)
		or s.available < 0`).Scan(&wrong)
	if err != nil {
		h.t.Fatal(err)
	}
	if wrong > 0 {
		h.t.Errorf("%d products have a stock that is not the sum of their movements", wrong)
	}
}

// fingerprint is all that the service knows and has said, to show that nothing
// changed.
func (h *harness) fingerprint() (s string) {
	h.t.Helper()
	err := h.db.QueryRow(h.t.Context(), `select concat_ws(E'\n',
		(select string_agg(s::text, ',' order by sku) from stock s),
		(select string_agg(m::text, ',' order by movement_id) from stock_movements m),
		(select string_agg(r::text, ',' order by order_id) from reservations r),
		(select string_agg(l::text, ',' order by order_id, sku) from reservation_lines l))`).Scan(&s)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}
