package inventory

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/schemas/events"
)

func TestReserveAllOrNone(t *testing.T) {
	stock := map[string]int64{"apple": 5, "pear": 1, "plum": 0, "ore": 1 << 40}
	for _, tc := range []struct {
		name   string
		lines  []events.OrderLine
		status Status
		reason string
		skus   []string
	}{
		{"enough", []events.OrderLine{{SKU: "apple", Quantity: 5}, {SKU: "pear", Quantity: 1}}, Reserved, "", nil},
		{"the second is short", []events.OrderLine{{SKU: "apple", Quantity: 1}, {SKU: "pear", Quantity: 2}}, Rejected, "insufficient_stock", []string{"pear"}},
		{"none left", []events.OrderLine{{SKU: "plum", Quantity: 1}}, Rejected, "insufficient_stock", []string{"plum"}},
		{"unknown", []events.OrderLine{{SKU: "apple", Quantity: 1}, {SKU: "ghost", Quantity: 1}}, Rejected, "unknown_sku", []string{"ghost"}},
		{"unknown goes before short", []events.OrderLine{{SKU: "plum", Quantity: 1}, {SKU: "ghost", Quantity: 1}}, Rejected, "unknown_sku", []string{"ghost"}},
		{"lines of one product add up", []events.OrderLine{{SKU: "apple", Quantity: 3}, {SKU: "apple", Quantity: 3}}, Rejected, "insufficient_stock", []string{"apple"}},
		{"more than an event can say", []events.OrderLine{{SKU: "ore", Quantity: 1 << 30}, {SKU: "ore", Quantity: 1 << 30}}, Rejected, "insufficient_stock", []string{"ore"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := Reserve(uuid.New(), uuid.New(), Needs(tc.lines), stock)
			if d.Reservation.Status != tc.status || d.Reason != tc.reason || !cmp.Equal(d.SKUs, tc.skus) {
				t.Errorf("got %s %s %v, want %s %s %v", d.Reservation.Status, d.Reason, d.SKUs, tc.status, tc.reason, tc.skus)
			}
			if (tc.status == Reserved) != (len(d.Reservation.Lines) > 0) {
				t.Errorf("lines %v do not fit status %s", d.Reservation.Lines, tc.status)
			}
			if err := d.Event(time.Now()).Validate(); err != nil {
				t.Errorf("its event is invalid: %v", err)
			}
		})
	}
}

func TestNeedsAreInLockOrder(t *testing.T) {
	got := Needs([]events.OrderLine{{SKU: "b", Quantity: 1}, {SKU: "a", Quantity: 2}, {SKU: "b", Quantity: 3}})
	if want := []Line{{"a", 2}, {"b", 4}}; !cmp.Equal(got, want) {
		t.Errorf("Needs = %v, want %v", got, want)
	}
}

func TestRelease(t *testing.T) {
	lines := []Line{{"apple", 2}}
	for _, tc := range []struct {
		before Status
		after  Status
		back   []Line
		done   bool
	}{
		{Reserved, Released, lines, false},
		{Rejected, Cancelled, nil, false},
		{"", Cancelled, nil, false}, // not seen yet
		{Released, Released, nil, true},
		{Cancelled, Cancelled, nil, true},
	} {
		status, back, done := Reservation{Status: tc.before, Lines: lines}.Release()
		if status != tc.after || !cmp.Equal(back, tc.back) || done != tc.done {
			t.Errorf("Release of %q = %s %v %v, want %s %v %v", tc.before, status, back, done, tc.after, tc.back, tc.done)
		}
	}
}
