package inventory_test

import (
	"fmt"
	"testing"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
)

func line(sku string, n int32) events.OrderLine { return events.OrderLine{SKU: sku, Quantity: n} }

func TestStockIsReservedAndReleased(t *testing.T) {
	h := start(t)
	h.product("apple", 10)
	h.product("pear", 3)
	o := newOrder()
	h.send(o, o.placed(line("pear", 2), line("apple", 4)))
	got := h.answers(o, 1)[0].(*events.StockReserved)
	if got.OrderID != o.id || len(got.Lines) != 2 || got.Lines[0] != (events.StockLine{SKU: "apple", Quantity: 4}) {
		t.Errorf("StockReserved = %+v", got)
	}
	if a, p := h.stock("apple"), h.stock("pear"); a.Available != 6 || p.Available != 1 {
		t.Errorf("available: apple %d, pear %d, want 6 and 1", a.Available, p.Available)
	}

	h.send(o, o.cancelled())
	released := h.answers(o, 2)[1].(*events.StockReleased)
	if len(released.Lines) != 2 {
		t.Errorf("StockReleased has lines %v, want both", released.Lines)
	}
	if a, p := h.stock("apple"), h.stock("pear"); a.Available != 10 || p.Available != 3 {
		t.Errorf("available after the release: apple %d, pear %d, want 10 and 3", a.Available, p.Available)
	}
	if s := h.status(o); s != "released" {
		t.Errorf("reservation is %s, want released", s)
	}
	h.conserved()
}

func TestOrdersThatCannotBeFulfilled(t *testing.T) {
	h := start(t)
	h.product("apple", 10)
	for _, tc := range []struct {
		name   string
		lines  []events.OrderLine
		reason string
		sku    string
	}{
		{"too much", []events.OrderLine{line("apple", 11)}, "insufficient_stock", "apple"},
		{"unknown sku", []events.OrderLine{line("apple", 1), line("no such thing", 1)}, "unknown_sku", "no such thing"},
	} {
		o := newOrder()
		h.send(o, o.placed(tc.lines...))
		got := h.answers(o, 1)[0].(*events.StockRejected)
		if got.Reason != tc.reason || len(got.SKUs) != 1 || got.SKUs[0] != tc.sku {
			t.Errorf("%s: StockRejected %s %v, want %s [%s]", tc.name, got.Reason, got.SKUs, tc.reason, tc.sku)
		}
		// Its cancellation gives nothing back, and says so.
		h.send(o, o.cancelled())
		if released := h.answers(o, 2)[1].(*events.StockReleased); len(released.Lines) != 0 {
			t.Errorf("%s: StockReleased has lines %v, want none", tc.name, released.Lines)
		}
		if s := h.status(o); s != "cancelled" {
			t.Errorf("%s: reservation is %s, want cancelled", tc.name, s)
		}
	}
	if st := h.stock("apple"); st.Available != 10 {
		t.Errorf("available %d, want all 10", st.Available)
	}
	h.conserved()
}

// A cancellation that comes before its order is remembered: the late order
// reserves nothing.
func TestCancelledBeforePlaced(t *testing.T) {
	h := start(t)
	h.product("apple", 10)
	o := newOrder()
	h.send(o, o.cancelled())
	if released := h.answers(o, 1)[0].(*events.StockReleased); len(released.Lines) != 0 {
		t.Errorf("StockReleased has lines %v, want none", released.Lines)
	}
	h.send(o, o.placed(line("apple", 1)))
	h.settled()
	h.answers(o, 1)
	if st := h.stock("apple"); st.Available != 10 || h.status(o) != "cancelled" {
		t.Errorf("available %d, reservation %s; want 10, cancelled", st.Available, h.status(o))
	}
}

// Everything delivered again under other event ids, after the inbox has forgotten
// the first time, changes nothing and says nothing.
func TestReplayAfterInboxWasPruned(t *testing.T) {
	h := start(t)
	h.product("apple", 10)
	var orders []order
	for i := range 6 {
		o := newOrder()
		orders = append(orders, o)
		h.send(o, o.placed(line("apple", int32(i+1))))
		if i%2 == 0 {
			h.send(o, o.cancelled())
		}
	}
	h.settled()
	if _, err := h.db.Exec(t.Context(), `delete from inbox`); err != nil {
		t.Fatal(err)
	}
	// What is settled may still be on its way out of the outbox.
	const said = 6 + 3
	heard := func() int { return countEvents(h.platform.Read(t, schemas.TopicInventory)) }
	kittest.Eventually(t, "an answer to every event", func() bool { return heard() == said })
	before := h.fingerprint()
	for i, o := range orders {
		h.send(o, o.placed(line("apple", int32(i+1))))
		if i%2 == 0 {
			h.send(o, o.cancelled())
		}
	}
	h.settled()
	if after := h.fingerprint(); after != before {
		t.Errorf("the replay changed something:\n%s\nwas\n%s", after, before)
	}
	last := newOrder() // what was said before it is there when its answer is
	h.send(last, last.placed(line("unknown", 1)))
	h.answers(last, 1)
	if n := heard(); n != said+1 {
		t.Errorf("%d events after the replay, want still %d", n-1, said)
	}
	h.conserved()
}

// Many customers want the last of the same products, in different orders of lines;
// some cancel. No deadlock, no oversale, nothing lost.
func TestContention(t *testing.T) {
	h := start(t)
	for i := range 5 {
		h.product(fmt.Sprintf("p%d", i), 40)
	}
	var orders []order
	for i := range 60 {
		o := newOrder()
		orders = append(orders, o)
		h.send(o, o.placed(line(fmt.Sprintf("p%d", i%5), 3), line(fmt.Sprintf("p%d", (i+2)%5), 2), line(fmt.Sprintf("p%d", (i+4)%5), 1)))
		if i%3 == 0 {
			h.send(o, o.cancelled())
		}
	}
	h.settled()
	h.conserved()
	kittest.Eventually(t, "an answer to every event", func() bool {
		return countEvents(h.platform.Read(t, schemas.TopicInventory)) == 60+20
	})
	var reserved, movements int64
	if err := h.db.QueryRow(t.Context(), `select coalesce(sum(quantity), 0) from reservation_lines join reservations using (order_id) where status = 'reserved'`).Scan(&reserved); err != nil {
		t.Fatal(err)
	}
	if err := h.db.QueryRow(t.Context(), `select 5*40 - sum(available) from stock`).Scan(&movements); err != nil {
		t.Fatal(err)
	}
	if reserved != movements {
		t.Errorf("%d reserved, but %d are missing from the stock", reserved, movements)
	}
	for i, o := range orders {
		if s := h.status(o); i%3 == 0 && s != "released" && s != "cancelled" {
			t.Errorf("cancelled order has reservation %s", s)
		}
	}
}

func countEvents(m map[string][]events.Event) (n int) {
	for _, es := range m {
		n += len(es)
	}
	return n
}
