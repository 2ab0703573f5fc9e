package order_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/order"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is an order service on a platform of its own.
type harness struct {
	t        *testing.T
	platform *kittest.Platform
	cfg      order.Config
	*kittest.Running
	db *pgx.Conn
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, platform: kittest.NewPlatform(t)}
	h.cfg = order.Config{Config: h.platform.Config}
	h.cfg.PostgresURL, h.cfg.Database = kittest.Database(t)
	h.run(telemetry.Config{})
	h.db = kittest.Connect(t, h.cfg.PostgresURL, h.cfg.Database)
	return h
}

// run starts the service, again after a Stop.
func (h *harness) run(cfg telemetry.Config) {
	h.t.Helper()
	h.cfg.Listener = kittest.Listener(h.t)
	cfg.Service = order.Name
	s, err := order.New(h.t.Context(), h.cfg, kittest.Telemetry(h.t, cfg))
	if err != nil {
		h.t.Fatal(err)
	}
	h.Running = kittest.Run(h.t, s)
}

type orderBody struct {
	OrderID    string `json:"order_id"`
	CustomerID string `json:"customer_id"`
	Status     string `json:"status"`
	Version    int    `json:"version"`
	Reason     string `json:"reason"`
	Lines      []order.Line
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func (h *harness) customer() string {
	h.t.Helper()
	a := h.Do("POST", "/customers", map[string]string{"name": "Ada", "email": "ada@example.org"})
	if a.Status != 201 {
		h.t.Fatalf("POST /customers: %d %s", a.Status, a.Body)
	}
	var c order.Customer
	a.Into(h.t, &c)
	return c.CustomerID.String()
}

// placement is the body of POST /orders.
func placement(customer string, lines ...order.Line) map[string]any {
	if len(lines) == 0 {
		lines = []order.Line{{SKU: "apple", Quantity: 2}}
	}
	return map[string]any{"customer_id": customer, "lines": lines}
}

func (h *harness) place(customer string, headers ...string) orderBody {
	h.t.Helper()
	a := h.Do("POST", "/orders", placement(customer), headers...)
	if a.Status != 202 {
		h.t.Fatalf("POST /orders: %d %s", a.Status, a.Body)
	}
	var o orderBody
	a.Into(h.t, &o)
	return o
}

func (h *harness) get(id string) orderBody {
	h.t.Helper()
	a := h.Do("GET", "/orders/"+id, nil)
	if a.Status != 200 {
		h.t.Fatalf("GET /orders/%s: %d %s", id, a.Status, a.Body)
	}
	var o orderBody
	a.Into(h.t, &o)
	return o
}

// inventory sends an event as the inventory service does; id is its ce_id.
func (h *harness) inventory(id, customer string, e events.Event) {
	h.t.Helper()
	h.platform.Emit(h.t, schemas.TopicInventory, customer, id, e)
}

func (h *harness) reserve(o orderBody) {
	h.inventory(uuid.NewString(), o.CustomerID, reserved(o))
}

func reserved(o orderBody) *events.StockReserved {
	return &events.StockReserved{OrderID: o.OrderID, CustomerID: o.CustomerID, OccurredAt: time.Now(), Lines: []events.StockLine{{SKU: "apple", Quantity: 2}}}
}

// published returns the events on orders.v1, per customer in the order of the topic.
func (h *harness) published() map[string][]events.Event {
	h.t.Helper()
	return h.platform.Read(h.t, schemas.TopicOrders)
}

func (h *harness) count(query string, args ...any) int {
	h.t.Helper()
	var n int
	if err := h.db.QueryRow(h.t.Context(), query, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}
