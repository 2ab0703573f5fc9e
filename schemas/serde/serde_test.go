package serde_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/internal/fakeregistry"
	"github.com/quokka-stream/quokka/schemas/serde"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	order    = "0198c0de-0000-7000-8000-000000000001"
	customer = "0198c0de-0000-7000-8000-0000000000c1"
)

func placed() *events.OrderPlaced {
	return &events.OrderPlaced{
		OrderID: order, CustomerID: customer, Version: 1, OccurredAt: time.Unix(1, 0).UTC(),
		Lines: []events.OrderLine{{SKU: "mug", Quantity: 2}},
	}
}

func start(t *testing.T, opts ...serde.Option) (*fakeregistry.Server, *serde.Serde) {
	t.Helper()
	reg := fakeregistry.New(t)
	s, err := serde.New(reg.URL, append([]serde.Option{serde.WithRetries(3, time.Millisecond), serde.WithTimeout(3 * time.Minute)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return reg, s
}

// registerAll registers the program's schemas of a topic.
func registerAll(reg *fakeregistry.Server, topic schemas.Topic) {
	for _, name := range topic.Schemas {
		schema, _ := events.Schema(name)
		reg.Add(topic.Subject(name), "AVRO", schema.String())
	}
}

func TestRoundTrip(t *testing.T) {
	reg, s := start(t)
	ctx := t.Context()
	registerAll(reg, schemas.Orders)
	registerAll(reg, schemas.Logs)
	if err := s.Check(ctx, schemas.Orders); err != nil {
		t.Fatal(err)
	}
	log := &events.LogLine{Time: time.Unix(2, 0).UTC(), Level: "INFO", Service: "order", Message: "m", Attributes: map[string]string{}}
	for topic, want := range map[string]events.Event{schemas.TopicOrders: placed(), schemas.TopicLogs: log} {
		b, err := s.Encode(ctx, topic, want)
		if err != nil {
			t.Fatal(err)
		}
		if b[0] != 0 {
			t.Errorf("magic byte is %d", b[0])
		}
		got, err := s.Decode(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("round trip (-want +got):\n%s", diff)
		}
		name, v, err := s.DecodeAny(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := v.(map[string]any); !ok || name != want.AvroName() || len(m) == 0 {
			t.Errorf("generic: %s %v", name, v)
		}
	}
	reg.Reset()
	for range 100 {
		b, err := s.Encode(ctx, schemas.TopicOrders, placed())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Decode(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	if n := reg.Total(); n != 0 {
		t.Errorf("%d requests for what is known", n)
	}
}

// edited returns the program's schema of e with old replaced by new in it.
func edited(t *testing.T, e events.Event, old, new string) *codec.Schema {
	t.Helper()
	text := e.AvroSchema()
	if !strings.Contains(text, old) {
		t.Fatalf("the schema has no %s:\n%s", old, text)
	}
	return codec.MustParse(strings.Replace(text, old, new, 1))
}

func TestCheck(t *testing.T) {
	const subject = "orders.v1-quokka.order.v1.OrderPlaced"
	t.Run("nothing registered", func(t *testing.T) {
		_, s := start(t)
		err := s.Check(t.Context(), schemas.Orders, &events.OrderPlaced{})
		var ue *serde.UnknownSchemaError
		if !errors.As(err, &ue) || ue.Subject != subject || ue.Version != 0 {
			t.Fatalf("got %v", err)
		}
		for _, want := range []string{subject, "does not exist", "quokka schemas apply"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	})
	t.Run("names every missing schema", func(t *testing.T) {
		_, s := start(t)
		err := s.Check(t.Context(), schemas.Orders)
		for _, want := range schemas.Orders.Schemas {
			if !strings.Contains(err.Error(), "orders.v1-"+want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	})
	t.Run("another schema", func(t *testing.T) {
		tests := []struct{ old, new, field, detail string }{
			{`"type":"int","doc":"How many`, `"type":"long","doc":"How many`, "lines[].quantity", "type int instead of long"},
			{`{"name":"version","type":"int"`, `{"name":"revision","type":"int"`, "version", "a field that the other does not have"},
			{`"doc":"What was ordered`, `"doc":"All that was ordered`, "lines", "another doc, alias or property"},
		}
		for _, tt := range tests {
			reg, s := start(t)
			reg.Add(subject, "AVRO", edited(t, placed(), tt.old, tt.new).String())
			err := s.Check(t.Context(), schemas.Orders, &events.OrderPlaced{})
			var ue *serde.UnknownSchemaError
			if !errors.As(err, &ue) {
				t.Fatalf("got %v", err)
			}
			if ue.Version != 1 || ue.Field != tt.field || ue.Detail != tt.detail {
				t.Errorf("got version %d, field %q, %q; want field %q, %q", ue.Version, ue.Field, ue.Detail, tt.field, tt.detail)
			}
		}
	})
	t.Run("an event that the topic does not carry", func(t *testing.T) {
		_, s := start(t)
		err := s.Check(t.Context(), schemas.Inventory, &events.OrderPlaced{})
		if err == nil || !strings.Contains(err.Error(), "inventory.v1 does not carry quokka.order.v1.OrderPlaced") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("applied later", func(t *testing.T) {
		reg, s := start(t)
		if err := s.Check(t.Context(), schemas.Orders); err == nil {
			t.Fatal("no error")
		}
		registerAll(reg, schemas.Orders)
		if err := s.Check(t.Context(), schemas.Orders); err != nil {
			t.Errorf("a failed check is remembered: %v", err)
		}
	})
}

func TestEncodeRefuses(t *testing.T) {
	reg, s := start(t)
	registerAll(reg, schemas.Orders)
	bad := placed()
	bad.Lines[0].Quantity = -1
	_, err := s.Encode(t.Context(), schemas.TopicOrders, bad)
	var ve *events.ValidationError
	if !errors.As(err, &ve) || ve.Field != "lines[0].quantity" {
		t.Errorf("invalid event: %v", err)
	}
	if _, err := s.Encode(t.Context(), "elsewhere", placed()); err == nil || !strings.Contains(err.Error(), "not declared") {
		t.Errorf("unknown topic: %v", err)
	}
	if n := reg.Total(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// encode returns v in the wire format, written with schema under subject.
func encode(t *testing.T, reg *fakeregistry.Server, s *serde.Serde, subject string, schema *codec.Schema, v any) []byte {
	t.Helper()
	b, err := s.EncodeWith(reg.Add(subject, "AVRO", schema.String()), schema, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEvolution(t *testing.T) {
	line := map[string]any{"sku": "mug", "quantity": int32(2)}
	base := func() map[string]any {
		return map[string]any{
			"order_id": order, "customer_id": customer, "version": int32(1),
			"occurred_at": time.Unix(1, 0).UTC(), "lines": []any{line},
		}
	}
	with := func(name string, v any) map[string]any {
		m := base()
		m[name] = v
		return m
	}
	tests := []struct {
		name     string
		old, new string // how the writer's schema differs from the program's
		value    map[string]any
	}{
		{"a newer writer has one more field", `{"name":"lines"`, `{"name":"note","type":["null","string"],"default":null},{"name":"lines"`, with("note", "hello")},
		{"an older writer has no metadata", `,"doc":"OrderPlaced is the first event of every order: it was accepted and awaits its stock."`, ``, base()},
		{"fields in another order", `{"name":"version","type":"int","doc":"The order's version after this event: 1, 2, 3 without gaps.","minimum":1},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When it happened, by the clock of the order service."}`,
			`{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"version","type":"int"}`, base()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg, s := start(t)
			writer := edited(t, placed(), tt.old, tt.new)
			got, err := s.Decode(t.Context(), encode(t, reg, s, "subject", writer, tt.value))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(events.Event(placed()), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("an older writer lacks a field with a default", func(t *testing.T) {
		reg, s := start(t)
		line := &events.LogLine{}
		old := edited(t, line, `{"name":"trace_id","type":"string","doc":"Trace the line belongs to, 32 hexadecimal digits, or empty.","default":""},`, ``)
		v := map[string]any{"time": time.Unix(1, 0).UTC(), "level": "INFO", "service": "s", "message": "m", "span_id": "x", "attributes": map[string]any{"k": "v"}}
		got, err := s.Decode(t.Context(), encode(t, reg, s, "logs.v1-value", old, v))
		if err != nil {
			t.Fatal(err)
		}
		want := &events.LogLine{Time: time.Unix(1, 0).UTC(), Level: "INFO", Service: "s", Message: "m", SpanID: "x", Attributes: map[string]string{"k": "v"}}
		if diff := cmp.Diff(events.Event(want), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a newer writer has one more symbol", func(t *testing.T) {
		reg, s := start(t)
		e := &events.OrderRejected{}
		newer := edited(t, e, `"insufficient_stock"]`, `"insufficient_stock","recalled"]`)
		v := map[string]any{"order_id": order, "customer_id": customer, "version": int32(2), "occurred_at": time.Unix(1, 0).UTC(), "reason": "recalled", "skus": []any{}}
		got, err := s.Decode(t.Context(), encode(t, reg, s, "subject", newer, v))
		if err != nil {
			t.Fatal(err)
		}
		if r := got.(*events.OrderRejected).Reason; r != events.OrderRejectionReasonUnspecified {
			t.Errorf("reason is %q", r)
		}
	})
}

func TestDecodeErrors(t *testing.T) {
	reg, s := start(t)
	ctx := t.Context()
	registerAll(reg, schemas.Orders)
	good, err := s.Encode(ctx, schemas.TopicOrders, placed())
	if err != nil {
		t.Fatal(err)
	}
	id, err := serde.SchemaID(good)
	if err != nil {
		t.Fatal(err)
	}
	invalid := placed()
	invalid.Lines[0].Quantity = 0
	ownSchema, _ := events.Schema(invalid.AvroName())
	invalidBytes, err := s.EncodeWith(id, ownSchema, invalid)
	if err != nil {
		t.Fatal(err)
	}
	wrong := edited(t, placed(), `{"name":"version","type":"int"`, `{"name":"version","type":"string"`)
	wrongBytes := encode(t, reg, s, "orders.v1-elsewhere", wrong, map[string]any{
		"order_id": order, "customer_id": customer, "version": "1", "occurred_at": time.Unix(1, 0), "lines": []any{},
	})
	proto := reg.Add("p-value", "PROTOBUF", `syntax = "proto3";`)
	broken := reg.Add("b-value", "AVRO", `{"type":"record"}`)
	header := func(id int, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), rest...)
	}
	tests := []struct {
		name  string
		value []byte
		want  []string
		check func(*serde.DecodeError) bool
	}{
		{"empty", nil, []string{"0 bytes are too few"}, nil},
		{"text", []byte(`{"order_id":1}`), []string{"first byte is 0x7b"}, nil},
		{"id zero", header(0, 1), []string{"0 is not a schema id"}, nil},
		{"id negative", header(-1, 1), []string{"not a schema id"}, nil},
		{"truncated", good[:len(good)-1], []string{"quokka.order.v1.OrderPlaced", fmt.Sprintf("schema id %d", id)}, nil},
		{"trailing", append(good[:len(good):len(good)], 0), []string{"bytes are left"}, func(e *serde.DecodeError) bool { return errors.Is(e, codec.ErrTrailingBytes) }},
		{"invalid", invalidBytes, []string{"field lines[0].quantity", "is less than 1"}, func(e *serde.DecodeError) bool { return e.Field == "lines[0].quantity" }},
		{"other schema", wrongBytes, []string{"subject orders.v1-elsewhere version 1", "version", "string", "int"}, func(e *serde.DecodeError) bool { return e.Version == 1 }},
		{"protobuf", header(proto, 1), []string{"is PROTOBUF, not Avro"}, nil},
		{"broken schema", header(broken, 1), []string{"the registry's schema"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Decode(ctx, tt.value)
			var de *serde.DecodeError
			if !errors.As(err, &de) {
				t.Fatalf("got %T %v", err, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if tt.check != nil && !tt.check(de) {
				t.Errorf("%#v", de)
			}
		})
	}
	t.Run("unknown type", func(t *testing.T) {
		other := codec.MustParse(`{"type":"record","name":"Paid","namespace":"quokka.payment.v1","fields":[]}`)
		b := encode(t, reg, s, "orders.v1-x", other, map[string]any{})
		_, err := s.Decode(ctx, b)
		var ue *serde.UnknownTypeError
		if !errors.As(err, &ue) || ue.Name != "quokka.payment.v1.Paid" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("unknown id", func(t *testing.T) {
		reg.Reset()
		for range 10 {
			_, err := s.Decode(ctx, header(999, 1))
			var ue *serde.UnknownIDError
			if !errors.As(err, &ue) || ue.ID != 999 {
				t.Fatalf("got %v", err)
			}
		}
		if n := reg.Total(); n != 1 {
			t.Errorf("%d requests for one unknown id", n)
		}
	})
}

func TestUnknownIDAppears(t *testing.T) {
	reg, s := start(t, serde.WithUnknownTTL(0))
	own, _ := events.Schema(placed().AvroName())
	b, err := s.EncodeWith(1, own, placed())
	if err != nil {
		t.Fatal(err)
	}
	var ue *serde.UnknownIDError
	if _, err := s.Decode(t.Context(), b); !errors.As(err, &ue) {
		t.Fatalf("got %v", err)
	}
	reg.Add("late", "AVRO", own.String())
	if _, err := s.Decode(t.Context(), b); err != nil {
		t.Errorf("still unknown: %v", err)
	}
}

// TestOneRequestPerColdID: many who need the same schema ask once.
func TestOneRequestPerColdID(t *testing.T) {
	reg, s := start(t)
	own, _ := events.Schema(placed().AvroName())
	b := encode(t, reg, s, "subject", own, placed())
	registerAll(reg, schemas.Orders)
	release := make(chan struct{})
	reg.SetFault(func(http.ResponseWriter, *http.Request) bool { <-release; return false })
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, err := s.Decode(t.Context(), b); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := s.Encode(t.Context(), schemas.TopicOrders, placed()); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	reg.Lock()
	defer reg.Unlock()
	for what, n := range reg.Requests {
		if n != 1 {
			t.Errorf("%s: %d requests", what, n)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	reg, s := start(t, serde.WithCacheSize(2))
	var values [][]byte
	for i := range 3 {
		schema := codec.MustParse(fmt.Sprintf(`{"type":"record","name":"R%d","fields":[]}`, i))
		values = append(values, encode(t, reg, s, "s", schema, map[string]any{}))
	}
	reg.Reset()
	for _, i := range []int{0, 1, 0, 2, 0, 1} { // 2 drives out 1, the least recently used
		if _, _, err := s.DecodeAny(t.Context(), values[i]); err != nil {
			t.Fatal(err)
		}
	}
	reg.Lock()
	defer reg.Unlock()
	want := map[string]int{"GET /schemas/ids/1": 1, "GET /schemas/ids/2": 2, "GET /schemas/ids/3": 1}
	if diff := cmp.Diff(want, reg.Requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestRegister(t *testing.T) {
	reg, s := start(t)
	reg.Refuse = func(subject, schema string) string {
		if strings.Contains(schema, "bad") {
			return `Schema being registered is incompatible with an earlier schema for subject "x", details: [{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'d', additionalInfo:'bad'}, {oldSchemaVersion: 1}, {oldSchema: '{"fields":[{}, {}]}'}, {validateFields: 'false'}]`
		}
		return ""
	}
	table := debezium.Table{
		Topic:   schemas.TopicCDCCustomers,
		Columns: []debezium.Column{{Name: "customer_id", Type: debezium.Type{Kind: debezium.UUID}}},
		Key:     []string{"customer_id"},
	}
	schema, err := table.ValueSchema()
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Register(t.Context(), "x", schema.String())
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Register(t.Context(), "x", "\n"+schema.String())
	if err != nil || again != id {
		t.Errorf("again: id %d, %v; want %d", again, err, id)
	}
	env := debezium.Envelope{Op: debezium.Create, After: map[string]any{"customer_id": customer}}
	b, err := s.EncodeWith(id, schema, env.Record())
	if err != nil {
		t.Fatal(err)
	}
	name, v, err := s.DecodeAny(t.Context(), b)
	if err != nil || name != "cdc.order.public.customers.Envelope" {
		t.Fatalf("%s, %v", name, err)
	}
	if got, err := debezium.DecodeEnvelope(v); err != nil || got.After["customer_id"] != customer {
		t.Errorf("%v, %v", got, err)
	}
	_, err = s.Register(t.Context(), "x", `{"type":"fixed","name":"bad","size":1}`)
	var ie *serde.IncompatibleError
	if !errors.As(err, &ie) || ie.Subject != "x" || ie.Version != 1 || len(ie.Messages) != 1 || !strings.HasPrefix(ie.Messages[0], "errorType:'READER_FIELD") {
		t.Errorf("refusal: %#v", err)
	}
	if _, err := s.Register(t.Context(), "x", `{"type":"record"}`); err == nil || !strings.Contains(err.Error(), "subject x") {
		t.Errorf("nonsense: %v", err)
	}
}

func TestReferences(t *testing.T) {
	reg, s := start(t)
	part := codec.MustParse(`{"type":"record","name":"n.Part","fields":[{"name":"x","type":"int"}]}`)
	whole, err := codec.Parse(`{"type":"record","name":"n.Whole","fields":[{"name":"p","type":"n.Part"}]}`, part)
	if err != nil {
		t.Fatal(err)
	}
	reg.Add("part", "AVRO", part.String())
	id := reg.Add("whole", "AVRO", whole.String(), `{"name":"n.Part","subject":"part","version":1}`)
	b, err := s.EncodeWith(id, whole, map[string]any{"p": map[string]any{"x": int32(7)}})
	if err != nil {
		t.Fatal(err)
	}
	_, v, err := s.DecodeAny(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"p": map[string]any{"x": int32(7)}}, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
