package order

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/quokka-stream/quokka/schemas/events"
)

var (
	anOrder   = uuid.MustParse("0192e4a0-0000-7000-8000-000000000001")
	aCustomer = uuid.MustParse("0192e4a0-0000-7000-8000-000000000002")
	t0        = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// The events of one order.
func confirmed(v int32) *events.OrderConfirmed {
	return &events.OrderConfirmed{OrderID: anOrder.String(), CustomerID: aCustomer.String(), Version: v, OccurredAt: at(v)}
}
func rejected(v int32) *events.OrderRejected {
	return &events.OrderRejected{OrderID: anOrder.String(), CustomerID: aCustomer.String(), Version: v, OccurredAt: at(v), Reason: "unknown_sku"}
}
func cancelled(v int32) *events.OrderCancelled {
	return &events.OrderCancelled{OrderID: anOrder.String(), CustomerID: aCustomer.String(), Version: v, OccurredAt: at(v), Reason: "changed my mind"}
}
func placed() *events.OrderPlaced {
	return Place(anOrder, aCustomer, []Line{{"apple", 2}}, at(1))
}
func at(v int32) time.Time { return t0.Add(time.Duration(v) * time.Second) }

func TestApply(t *testing.T) {
	for _, tc := range []struct {
		name    string
		events  []events.Event
		status  Status
		version int32
		reason  string
		gap     bool
	}{
		{"placed", []events.Event{placed()}, Pending, 1, "", false},
		{"confirmed", []events.Event{placed(), confirmed(2)}, Confirmed, 2, "", false},
		{"rejected", []events.Event{placed(), rejected(2)}, Rejected, 2, "unknown_sku", false},
		{"cancelled at once", []events.Event{placed(), cancelled(2)}, Cancelled, 2, "changed my mind", false},
		{"cancelled later", []events.Event{placed(), confirmed(2), cancelled(3)}, Cancelled, 3, "changed my mind", false},
		{"repetitions change nothing", []events.Event{placed(), placed(), confirmed(2), placed(), confirmed(2), cancelled(3), confirmed(2)}, Cancelled, 3, "changed my mind", false},
		{"nothing before the first", []events.Event{confirmed(1)}, "", 0, "", true},
		{"a version is missing", []events.Event{placed(), confirmed(3)}, Pending, 1, "", true},
		{"placed twice", []events.Event{placed(), &events.OrderPlaced{OrderID: anOrder.String(), CustomerID: aCustomer.String(), Version: 2, OccurredAt: at(2)}}, Pending, 1, "", true},
		{"rejected is final", []events.Event{placed(), rejected(2), cancelled(3)}, Rejected, 2, "unknown_sku", true},
		{"cancelled is final", []events.Event{placed(), cancelled(2), confirmed(3)}, Cancelled, 2, "changed my mind", true},
		{"confirmed is not rejected", []events.Event{placed(), confirmed(2), rejected(3)}, Confirmed, 2, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s State
			var err error
			for _, e := range tc.events {
				if s, err = Apply(s, e); err != nil {
					break
				}
			}
			var gap *GapError
			if got := errors.As(err, &gap); got != tc.gap || (err != nil) != tc.gap {
				t.Errorf("error %v, want a gap: %v", err, tc.gap)
			}
			if s.Status != tc.status || s.Version != tc.version || s.Reason != tc.reason {
				t.Errorf("state %s at %d (%s), want %s at %d (%s)", s.Status, s.Version, s.Reason, tc.status, tc.version, tc.reason)
			}
		})
	}
}

func TestApplyKeepsWhatWasOrdered(t *testing.T) {
	s, err := Apply(State{}, placed())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Apply(s, confirmed(2)); err != nil {
		t.Fatal(err)
	}
	want := State{
		OrderID: anOrder, CustomerID: aCustomer, Status: Confirmed, Version: 2,
		Lines: []Line{{"apple", 2}}, CreatedAt: at(1), UpdatedAt: at(2),
	}
	if !cmp.Equal(s, want) {
		t.Error(cmp.Diff(want, s))
	}
}

func TestApplyRefusesStrangers(t *testing.T) {
	s, err := Apply(State{}, placed())
	if err != nil {
		t.Fatal(err)
	}
	other := confirmed(2)
	other.OrderID = aCustomer.String()
	for name, e := range map[string]events.Event{
		"another order's event": other,
		"inventory's event":     &events.StockReserved{OrderID: anOrder.String()},
		"no uuid":               &events.OrderPlaced{OrderID: "seven", Version: 1},
	} {
		before := s
		if name == "no uuid" {
			before = State{}
		}
		if got, err := Apply(before, e); err == nil || !cmp.Equal(got, before) {
			t.Errorf("%s: %v, state changed: %v", name, err, !cmp.Equal(got, before))
		}
	}
}

// Whatever customers and inventory do in whatever order, every event that the
// order decides on can be applied, versions have no gap, times do not fall, and a
// final state stays.
func TestDecisionsAreApplicable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Apply(State{}, placed())
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 8).Draw(t, "steps") {
			now := t0.Add(time.Duration(rapid.Int64Range(-5000, 5000).Draw(t, "clock")) * time.Millisecond)
			var e events.Event
			var err error
			switch rapid.SampledFrom([]string{"cancel", "reserved", "rejected"}).Draw(t, "what") {
			case "cancel":
				if e, err = s.Cancel("", now); errors.Is(err, ErrRejected) != (s.Status == Rejected) {
					t.Fatalf("cancel of %s: %v", s.Status, err)
				}
			case "reserved":
				e, err = s.StockReserved(now)
			case "rejected":
				e, err = s.StockRejected("unknown_sku", []string{"x"}, now)
			}
			if err != nil || e == nil {
				continue
			}
			if err := e.Validate(); err != nil {
				t.Fatalf("%s: %v", e.AvroName(), err)
			}
			next, err := Apply(s, e)
			if err != nil {
				t.Fatal(err)
			}
			if next.Version != s.Version+1 || next.UpdatedAt.Before(s.UpdatedAt) || s.Status == Rejected || s.Status == Cancelled {
				t.Fatalf("%s at %d → %s at %d, %v → %v", s.Status, s.Version, next.Status, next.Version, s.UpdatedAt, next.UpdatedAt)
			}
			s = next
		}
	})
}
