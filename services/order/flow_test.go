package order_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/order"
)

// eventually waits for a status of an order.
func (h *harness) eventually(id, status string) {
	h.t.Helper()
	kittest.Eventually(h.t, "order "+id+" to be "+status, func() bool { return h.get(id).Status == status })
}

// names returns the short names of a customer's events on the topic, once there are
// n of them.
func (h *harness) names(customer string, n int) (out []string) {
	h.t.Helper()
	kittest.Eventually(h.t, fmt.Sprintf("%d events of the customer", n), func() bool {
		out = nil
		for _, e := range h.published()[customer] {
			out = append(out, e.AvroName()[len("quokka.order.v1."):])
		}
		return len(out) >= n
	})
	return out
}

func TestOrderIsConfirmedThenCancelled(t *testing.T) {
	h := start(t)
	customer := h.customer()
	o := h.place(customer)
	if o.Status != "pending" || o.Version != 1 {
		t.Errorf("placed order is %s at version %d, want pending at 1", o.Status, o.Version)
	}
	h.reserve(o)
	h.eventually(o.OrderID, "confirmed")
	for range 2 { // the second changes nothing
		a := h.Do("POST", "/orders/"+o.OrderID+"/cancel", map[string]string{"reason": "too late"})
		var got orderBody
		a.Into(t, &got)
		if a.Status != 200 || got.Status != "cancelled" || got.Version != 3 || got.Reason != "too late" {
			t.Errorf("cancel: %d %s", a.Status, a.Body)
		}
	}
	want := []string{"OrderPlaced", "OrderConfirmed", "OrderCancelled"}
	if got := h.names(customer, 3); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}

	var history struct {
		Events []order.HistoryEntry `json:"events"`
	}
	h.Do("GET", "/orders/"+o.OrderID+"/history", nil).Into(t, &history)
	records := kittest.ReadAll(t, h.cfg.KafkaBrokers, schemas.TopicOrders)
	if len(history.Events) != 3 || len(records) != 3 {
		t.Fatalf("history has %d events, the topic %d, want 3", len(history.Events), len(records))
	}
	for i, e := range history.Events {
		header := map[string]string{}
		for _, hd := range records[i].Headers {
			header[hd.Key] = string(hd.Value)
		}
		if header["ce_id"] != e.EventID.String() || header["ce_type"] != e.Type || int(e.Version) != i+1 {
			t.Errorf("history entry %+v does not fit the record's headers %v", e, header)
		}
		if header["ce_specversion"] != "1.0" || header["ce_source"] != "/quokka/order" || header["ce_subject"] != o.OrderID ||
			header["content-type"] != "application/avro" || header["ce_time"] != e.OccurredAt.Format(time.RFC3339Nano) {
			t.Errorf("envelope %v", header)
		}
		if id := uuid.MustParse(header["ce_id"]); id.Version() != 7 {
			t.Errorf("event id %s has version %d, want 7", id, id.Version())
		}
	}
}

func TestRejectedOrderCannotBeCancelled(t *testing.T) {
	h := start(t)
	o := h.place(h.customer())
	h.inventory(uuid.NewString(), o.CustomerID, &events.StockRejected{
		OrderID: o.OrderID, CustomerID: o.CustomerID, OccurredAt: time.Now(), Reason: "insufficient_stock", SKUs: []string{"apple"},
	})
	h.eventually(o.OrderID, "rejected")
	if got := h.get(o.OrderID); got.Reason != "insufficient_stock" || got.Version != 2 {
		t.Errorf("rejected order: %+v", got)
	}
	if a := h.Do("POST", "/orders/"+o.OrderID+"/cancel", nil); a.Status != 409 || a.Code() != "order_rejected" {
		t.Errorf("cancel: %d %s, want 409 order_rejected", a.Status, a.Code())
	}
}

// What inventory says about an order that was cancelled meanwhile changes and
// publishes nothing; StockReleased has no handler and is no error.
func TestLateAnswersToACancelledOrder(t *testing.T) {
	h := start(t)
	customer := h.customer()
	o := h.place(customer)
	if a := h.Do("POST", "/orders/"+o.OrderID+"/cancel", nil); a.Status != 200 {
		t.Fatalf("cancel: %d %s", a.Status, a.Body)
	}
	h.reserve(o)
	h.inventory(uuid.NewString(), customer, &events.StockReleased{OrderID: o.OrderID, CustomerID: customer, OccurredAt: time.Now()})
	marker := h.place(customer)
	h.reserve(marker) // behind the others, by its key
	h.eventually(marker.OrderID, "confirmed")
	if got := h.get(o.OrderID); got.Status != "cancelled" || got.Version != 2 {
		t.Errorf("cancelled order is %s at version %d", got.Status, got.Version)
	}
	want := []string{"OrderPlaced", "OrderCancelled", "OrderPlaced", "OrderConfirmed"}
	if got := h.names(customer, 4); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

// An event delivered twice has its effect once, by the inbox; and once more after
// the inbox has forgotten it, by the state machine.
func TestReplayChangesNothing(t *testing.T) {
	h := start(t)
	customer := h.customer()
	o := h.place(customer)
	id := uuid.NewString()
	h.inventory(id, customer, reserved(o))
	h.inventory(id, customer, reserved(o))
	h.eventually(o.OrderID, "confirmed")
	settle := func() {
		t.Helper()
		marker := h.place(customer)
		h.reserve(marker)
		h.eventually(marker.OrderID, "confirmed")
	}
	settle()
	if _, err := h.db.Exec(t.Context(), `delete from inbox`); err != nil {
		t.Fatal(err)
	}
	h.inventory(id, customer, reserved(o))
	settle()
	want := []string{"OrderPlaced", "OrderConfirmed", "OrderPlaced", "OrderConfirmed", "OrderPlaced", "OrderConfirmed"}
	if got := h.names(customer, len(want)); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
	if n := h.count(`select count(*) from order_events where order_id = $1`, o.OrderID); n != 2 {
		t.Errorf("%d events in the history, want 2", n)
	}
}

// Inventory's word about an order that cannot be goes to the dead-letter topic as
// it came, and what follows goes on.
func TestImpossibleEventIsDeadLettered(t *testing.T) {
	h := start(t)
	customer := h.customer()
	ghost := orderBody{OrderID: uuid.NewString(), CustomerID: customer}
	h.reserve(ghost)
	garbage := &kgo.Record{Topic: schemas.TopicInventory, Key: []byte(customer), Value: []byte("no avro"), Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("quokka.inventory.v1.StockReserved")}}}
	h.platform.Produce(t, garbage)
	o := h.place(customer)
	h.reserve(o)
	h.eventually(o.OrderID, "confirmed")
	dead := kittest.ReadAll(t, h.cfg.KafkaBrokers, schemas.DeadLetter(schemas.TopicInventory, order.Name).Name)
	if len(dead) != 2 {
		t.Fatalf("%d dead letters, want 2", len(dead))
	}
	if string(dead[1].Value) != "no avro" || string(dead[1].Key) != customer {
		t.Errorf("dead letter is %q with key %q", dead[1].Value, dead[1].Key)
	}
}

// Orders and cancels of a few customers from many clients at once, with inventory
// answering as it pleases: on the topic each order's versions rise without gaps, so
// folding the topic gives the tables.
func TestOrderOfOneCustomersEvents(t *testing.T) {
	h := start(t)
	const customers, clients, each = 3, 6, 10
	var ids []string
	for range customers {
		ids = append(ids, h.customer())
	}
	var placed sync.Map
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(c)))
			var mine []string
			for range each {
				a, err := h.Try("POST", "/orders", placement(ids[rnd.IntN(customers)]))
				var o orderBody
				if err != nil || a.Status != 202 || json.Unmarshal(a.Body, &o) != nil {
					t.Errorf("place: %d %s %v", a.Status, a.Body, err)
					return
				}
				placed.Store(o.OrderID, o)
				mine = append(mine, o.OrderID)
				if rnd.IntN(2) == 0 {
					if a, err := h.Try("POST", "/orders/"+mine[rnd.IntN(len(mine))]+"/cancel", nil); err != nil || a.Status != 200 && a.Status != 409 {
						t.Errorf("cancel: %d %s %v", a.Status, a.Body, err)
					}
				}
			}
		})
	}
	answered := 0
	kittest.Eventually(t, "all orders placed", func() bool {
		n := 0
		placed.Range(func(k, v any) bool {
			n++
			if o := v.(orderBody); o.Version == 1 { // answer each once
				o.Version = 0
				placed.Store(k, o)
				answered++
				if answered%4 == 0 {
					h.inventory(uuid.NewString(), o.CustomerID, &events.StockRejected{OrderID: o.OrderID, CustomerID: o.CustomerID, OccurredAt: time.Now(), Reason: "insufficient_stock"})
				} else {
					h.reserve(o)
				}
			}
			return true
		})
		return n == clients*each && answered == n
	})
	wg.Wait()
	kittest.Eventually(t, "all orders settled", func() bool {
		return h.count(`select count(*) from orders where status = 'pending'`) == 0
	})
	want := h.count(`select count(*) from order_events`)
	var all map[string][]events.Event
	kittest.Eventually(t, "all events on the topic", func() bool {
		all = h.published()
		n := 0
		for _, es := range all {
			n += len(es)
		}
		return n >= want
	})
	states := map[string]order.State{}
	for _, es := range all {
		for _, e := range es {
			id := orderID(e)
			next, err := order.Apply(states[id], e)
			if err != nil {
				t.Fatalf("out of order: %v", err)
			}
			if next.Version == states[id].Version {
				t.Errorf("%s is twice on the topic", e.AvroName())
			}
			states[id] = next
		}
	}
	if len(states) != clients*each {
		t.Errorf("%d orders on the topic, want %d", len(states), clients*each)
	}
	for id, s := range states {
		row := h.get(id)
		if row.Status != string(s.Status) || row.Version != int(s.Version) || row.Reason != s.Reason || !row.UpdatedAt.Equal(s.UpdatedAt) {
			t.Errorf("folded: %s at %d (%s, %v); table: %s at %d (%s, %v)", s.Status, s.Version, s.Reason, s.UpdatedAt, row.Status, row.Version, row.Reason, row.UpdatedAt)
		}
	}
}

func orderID(e events.Event) string {
	switch e := e.(type) {
	case *events.OrderPlaced:
		return e.OrderID
	case *events.OrderConfirmed:
		return e.OrderID
	case *events.OrderRejected:
		return e.OrderID
	case *events.OrderCancelled:
		return e.OrderID
	}
	return ""
}

// A service that ends and starts again goes on where it was.
func TestRestart(t *testing.T) {
	h := start(t)
	customer := h.customer()
	o := h.place(customer)
	h.names(customer, 1)
	// A relay that has to end before it has noted what it published, publishes it
	// again; the service gives it two seconds.
	kittest.Eventually(t, "the relay has noted what it published", func() bool {
		return h.count(`select count(*) from (select target from outbox.progress order by n desc limit 1) newest where target is null`) == 1
	})
	if err := h.Stop(); err != nil {
		t.Fatalf("first run ended with: %v", err)
	}
	h.reserve(o)
	h.run(telemetry.Config{})
	h.eventually(o.OrderID, "confirmed")
	if got := h.names(customer, 2); !slices.Equal(got, []string{"OrderPlaced", "OrderConfirmed"}) {
		t.Errorf("published %v", got)
	}
}
