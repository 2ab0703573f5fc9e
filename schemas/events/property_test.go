package events_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/events"
)

func drawUUID(t *rapid.T, label string) string {
	var u uuid.UUID
	copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	return u.String()
}

func drawTime(t *rapid.T) time.Time {
	first := time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC).UnixMicro()
	last := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro()
	return time.UnixMicro(rapid.Int64Range(first, last).Draw(t, "time")).UTC()
}

func drawEvent(t *rapid.T) events.Event {
	order, customer, at := drawUUID(t, "order"), drawUUID(t, "customer"), drawTime(t)
	version := rapid.Int32Min(1).Draw(t, "version")
	sku := rapid.StringN(1, 20, -1)
	skus := rapid.SliceOf(sku).Draw(t, "skus")
	var lines []events.OrderLine
	var stock []events.StockLine
	for range rapid.IntRange(1, 5).Draw(t, "lines") {
		s, q := sku.Draw(t, "sku"), rapid.Int32Min(1).Draw(t, "quantity")
		lines, stock = append(lines, events.OrderLine{SKU: s, Quantity: q}), append(stock, events.StockLine{SKU: s, Quantity: q})
	}
	reason := rapid.SampledFrom([]string{events.OrderRejectionReasonUnspecified, events.OrderRejectionReasonUnknownSKU, events.OrderRejectionReasonInsufficientStock}).Draw(t, "reason")
	return rapid.SampledFrom([]events.Event{
		&events.OrderPlaced{OrderID: order, CustomerID: customer, Version: version, OccurredAt: at, Lines: lines},
		&events.OrderConfirmed{OrderID: order, CustomerID: customer, Version: version, OccurredAt: at},
		&events.OrderRejected{OrderID: order, CustomerID: customer, Version: version, OccurredAt: at, Reason: reason, SKUs: skus},
		&events.OrderCancelled{OrderID: order, CustomerID: customer, Version: version, OccurredAt: at, Reason: rapid.String().Draw(t, "text")},
		&events.StockReserved{OrderID: order, CustomerID: customer, OccurredAt: at, Lines: stock},
		&events.StockRejected{OrderID: order, CustomerID: customer, OccurredAt: at, Reason: reason, SKUs: skus},
		&events.StockReleased{OrderID: order, CustomerID: customer, OccurredAt: at, Lines: stock[:rapid.IntRange(0, len(stock)).Draw(t, "released")]},
		&events.LogLine{Time: at, Level: "INFO", Service: sku.Draw(t, "service"), Message: rapid.String().Draw(t, "message"),
			Attributes: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "attributes")},
	}).Draw(t, "event")
}

// TestRoundTrips: what Validate allows comes back as it was, typed and by its
// generic form.
func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		b, err := events.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := events.New(want.AvroName())
		if err := events.Decode(b, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		schema := codec.MustParse(want.AvroSchema())
		var generic any
		if err := schema.Decode(b, &generic); err != nil {
			t.Fatal(err)
		}
		again, err := schema.AppendEncode(nil, generic)
		if err != nil || len(again) != len(b) {
			t.Fatalf("the generic form encodes to %d bytes instead of %d: %v", len(again), len(b), err)
		}
	})
}

// FuzzDecode: no bytes panic, and what decodes into an event is valid and
// encodes again.
func FuzzDecode(f *testing.F) {
	for i, name := range events.Names() {
		for _, ex := range examples {
			if ex.event.AvroName() != name {
				continue
			}
			b, err := events.Encode(ex.event)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), b)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		names := events.Names()
		e, _ := events.New(names[int(which)%len(names)])
		if events.Decode(b, e) != nil {
			return
		}
		if _, err := events.Encode(e); err != nil {
			t.Fatalf("% x decodes as %+v, which does not encode: %v", b, e, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := examples[0].event
	schema, _ := events.Schema(e.AvroName())
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = schema.AppendEncode(buf[:0], e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	e := examples[0].event
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	data, err := events.Encode(examples[0].event)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := events.Decode(data, new(events.OrderPlaced)); err != nil {
			b.Fatal(err)
		}
	}
}
