package events_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/events/eventstest"
)

const (
	order    = "0198c0de-0000-7000-8000-000000000001"
	customer = "0198c0de-0000-7000-8000-0000000000c1"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 890123000, time.UTC)

// ids is how order and customer begin every order event: length 36, text.
var ids = "48" + hex.EncodeToString([]byte(order)) + "48" + hex.EncodeToString([]byte(customer))

// examples are one event of each type with its encoding. The bytes may never
// change: topics keep them for ever.
var examples = []struct {
	event  events.Event
	golden string
}{
	{&events.OrderPlaced{OrderID: order, CustomerID: customer, Version: 1, OccurredAt: at,
		Lines: []events.OrderLine{{SKU: "mug", Quantity: 2}, {SKU: "tee", Quantity: 100}}},
		ids + "02" + "968bcaf1f88aa606" + "04066d756704" + "06746565c801" + "00"},
	{&events.OrderConfirmed{OrderID: order, CustomerID: customer, Version: 2, OccurredAt: at},
		ids + "04" + "968bcaf1f88aa606"},
	{&events.OrderRejected{OrderID: order, CustomerID: customer, Version: 2, OccurredAt: at,
		Reason: events.OrderRejectionReasonUnknownSKU, SKUs: []string{"nil"}},
		ids + "04" + "968bcaf1f88aa606" + "02" + "02066e696c00"},
	{&events.OrderCancelled{OrderID: order, CustomerID: customer, Version: 3, OccurredAt: at, Reason: "tee"},
		ids + "06" + "968bcaf1f88aa606" + "06746565"},
	{&events.StockReserved{OrderID: order, CustomerID: customer, OccurredAt: at, Lines: []events.StockLine{{SKU: "mug", Quantity: 2}}},
		ids + "968bcaf1f88aa606" + "02066d75670400"},
	{&events.StockRejected{OrderID: order, CustomerID: customer, OccurredAt: at,
		Reason: events.StockRejectionReasonInsufficientStock, SKUs: []string{"mug"}},
		ids + "968bcaf1f88aa606" + "04" + "02066d756700"},
	{&events.StockReleased{OrderID: order, CustomerID: customer, OccurredAt: at, Lines: []events.StockLine{}},
		ids + "968bcaf1f88aa606" + "00"},
	{&events.LogLine{Time: at, Level: "INFO", Service: "order", Message: "tee", TraceID: "ab", SpanID: "", Attributes: map[string]string{"mug": "tee"}},
		"968bcaf1f88aa606" + "08494e464f" + "0a6f72646572" + "06746565" + "046162" + "00" + "02066d75670674656500"},
	{&events.ExampleRecorded{CauseID: "mug", Subject: "", OccurredAt: at}, "066d7567" + "00" + "968bcaf1f88aa606"},
}

func TestGolden(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range examples {
		name := tt.event.AvroName()
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			b, err := events.Encode(tt.event)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(b); got != tt.golden {
				t.Errorf("encoded\n%s, want\n%s", got, tt.golden)
			}
			back, ok := events.New(name)
			if !ok {
				t.Fatalf("no type %s", name)
			}
			if err := events.Decode(b, back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.event, back); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
			if err := events.Decode(append(b, 0), back); !errors.Is(err, codec.ErrTrailingBytes) {
				t.Errorf("a byte too many: %v", err)
			}
			if err := events.Decode(b[:len(b)-1], back); err == nil {
				t.Error("a byte too few: no error")
			}
		})
	}
	// What has no example yet, such as the event of a new service, makes the trip
	// without its bytes being pinned.
	for _, name := range events.Names() {
		if seen[name] {
			continue
		}
		e := eventstest.Sample(t, name)
		b, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		back, _ := events.New(name)
		if err := events.Decode(b, back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: round trip (-want +got):\n%s", name, diff)
		}
	}
}

// TestSample: a sample of every type is valid.
func TestSample(t *testing.T) {
	for _, name := range events.Names() {
		if _, err := events.Encode(eventstest.Sample(t, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestSchemaText checks that the embedded text is canonical and alone enough.
func TestSchemaText(t *testing.T) {
	for _, name := range events.Names() {
		e, _ := events.New(name)
		s, err := codec.Parse(e.AvroSchema())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.String() != e.AvroSchema() || s.FullName() != name {
			t.Errorf("%s: text is not canonical:\n%s\n%s", name, e.AvroSchema(), s)
		}
	}
	if _, ok := events.New("quokka.order.v1.OrderLine"); ok {
		t.Error("OrderLine is a part, not an event")
	}
}

func TestValidate(t *testing.T) {
	placed := func(change func(*events.OrderPlaced)) events.Event {
		e := &events.OrderPlaced{OrderID: order, CustomerID: customer, Version: 1, OccurredAt: at,
			Lines: []events.OrderLine{{SKU: "a", Quantity: 1}, {SKU: "b", Quantity: 1}}}
		change(e)
		return e
	}
	tests := []struct {
		event events.Event
		want  string
	}{
		{placed(func(e *events.OrderPlaced) {}), ""},
		{placed(func(e *events.OrderPlaced) { e.OrderID = "" }), "field order_id is not a UUID"},
		{placed(func(e *events.OrderPlaced) { e.OrderID = strings.Replace(order, "-", "0", 1) }), "field order_id is not a UUID"},
		{placed(func(e *events.OrderPlaced) { e.CustomerID = "g" + customer[1:] }), "field customer_id is not a UUID"},
		{placed(func(e *events.OrderPlaced) { e.Version = 0 }), "field version is less than 1"},
		{placed(func(e *events.OrderPlaced) { e.OccurredAt = time.Time{} }), "field occurred_at is not set"},
		{placed(func(e *events.OrderPlaced) { e.OccurredAt = at.AddDate(9000, 0, 0) }), "field occurred_at is outside the years 1 to 9999"},
		{placed(func(e *events.OrderPlaced) { e.Lines = nil }), "field lines is empty"},
		{placed(func(e *events.OrderPlaced) { e.Lines[1].Quantity = -1 }), "field lines[1].quantity is less than 1"},
		{placed(func(e *events.OrderPlaced) { e.Lines[0].SKU = "" }), "field lines[0].sku is empty"},
		{placed(func(e *events.OrderPlaced) { e.Lines[0].SKU = "\xff" }), "field lines[0].sku is not valid UTF-8"},
		{&events.OrderRejected{OrderID: order, CustomerID: customer, Version: 2, OccurredAt: at, Reason: "bad_luck"},
			"field reason is not one of unspecified, unknown_sku, insufficient_stock"},
		{&events.LogLine{Time: at, Level: "INFO", Service: "s", Attributes: map[string]string{"\xff": ""}}, `field attributes["\xff"] has a key that is not valid UTF-8`},
		{&events.LogLine{Time: at, Level: "INFO", Service: "s", Attributes: map[string]string{"k": "\xff"}}, `field attributes["k"] is not valid UTF-8`},
	}
	for _, tt := range tests {
		err := tt.event.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("unexpected %v", err)
			}
			continue
		}
		var ve *events.ValidationError
		if !errors.As(err, &ve) || err.Error() != tt.event.AvroName()+": "+tt.want {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if _, encErr := events.Encode(tt.event); !errors.As(encErr, &ve) {
			t.Errorf("Encode accepted it: %v", encErr)
		}
	}
}
