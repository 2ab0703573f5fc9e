package serde_test

import (
	"testing"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/internal/fakeregistry"
	"github.com/quokka-stream/quokka/schemas/serde"
)

func benchSerde(b *testing.B) *serde.Serde {
	reg := fakeregistry.New(b)
	registerAll(reg, schemas.Orders)
	s, err := serde.New(reg.URL)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

func BenchmarkEncode(b *testing.B) {
	s, e := benchSerde(b), placed()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Encode(b.Context(), schemas.TopicOrders, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	s := benchSerde(b)
	value, err := s.Encode(b.Context(), schemas.TopicOrders, placed())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Decode(b.Context(), value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEnvelope(b *testing.B) {
	s := benchSerde(b)
	text := debezium.Type{Kind: debezium.Text}
	table := debezium.Table{Topic: schemas.TopicCDCCustomers, Columns: []debezium.Column{
		{Name: "customer_id", Type: debezium.Type{Kind: debezium.UUID}}, {Name: "name", Type: text}, {Name: "email", Type: text},
		{Name: "created_at", Type: debezium.Type{Kind: debezium.TimestampTZ}}, {Name: "updated_at", Type: debezium.Type{Kind: debezium.TimestampTZ}},
	}}
	schema, err := table.ValueSchema()
	if err != nil {
		b.Fatal(err)
	}
	const at = "2026-01-02T03:04:05.678901Z"
	env := debezium.Envelope{Op: debezium.Create, After: map[string]any{"customer_id": customer, "name": "Ada", "email": "ada@example.org", "created_at": at, "updated_at": at}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = s.AppendWith(buf[:0], 1, schema, env.Record()); err != nil {
			b.Fatal(err)
		}
	}
}
