package serde_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/registry"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// startRegistry runs the platform's registry on a topic of its own and returns
// its address.
func startRegistry(t *testing.T, brokers []string, topic string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := registry.Open(t.Context(), registry.Config{
		Brokers: brokers, Topic: topic, Listener: l, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// TestWithRegistry goes the platform's way, against the registry itself: apply,
// check, write, read, derive, refuse; and a second registry on the same topic
// knows it all.
func TestWithRegistry(t *testing.T) {
	brokers := brokertest.Brokers(t)
	ctx := t.Context()
	topic := "_schemas-" + uuid.NewString()
	url := startRegistry(t, brokers, topic)

	var topics []schemas.Topic
	prefix := "t" + uuid.NewString()[:8] + "-"
	for _, declared := range schemas.Topics() {
		declared.Name = prefix + declared.Name
		topics = append(topics, declared)
	}
	orders := topics[0]
	newSerde := func(url string) *serde.Serde {
		s, err := serde.New(url, serde.WithTopics(topics...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	s := newSerde(url)
	var unknown *serde.UnknownSchemaError
	if err := s.Check(ctx, orders); !errors.As(err, &unknown) {
		t.Fatalf("before apply: %v", err)
	}
	cfg := apply.Config{Brokers: brokers, RegistryURL: url, Topics: topics, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for range 2 {
		if err := apply.Apply(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	}
	for _, topic := range topics {
		if err := s.Check(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	value, err := s.Encode(ctx, orders.Name, placed())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("an incompatible event is refused", func(t *testing.T) {
		bad := edited(t, placed(), `{"name":"lines"`, `{"name":"total","type":"long"},{"name":"lines"`)
		_, err := s.Register(ctx, orders.Subject(placed().AvroName()), bad.String())
		var ie *serde.IncompatibleError
		if !errors.As(err, &ie) || ie.Version != 1 || ie.Field != "total" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a compatible one is read by this program", func(t *testing.T) {
		newer := edited(t, placed(), `{"name":"lines"`, `{"name":"note","type":["null","string"],"default":null},{"name":"lines"`)
		id, err := s.Register(ctx, orders.Subject(placed().AvroName()), newer.String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.EncodeWith(id, newer, map[string]any{
			"order_id": order, "customer_id": customer, "version": int32(1), "occurred_at": time.Unix(1, 0).UTC(),
			"note": "n", "lines": []any{map[string]any{"sku": "mug", "quantity": int32(2)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Decode(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events.Event(placed()), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a table's schema evolves or is refused", func(t *testing.T) {
		columns := []debezium.Column{{Name: "customer_id", Type: debezium.Type{Kind: debezium.UUID}}}
		register := func(extra ...debezium.Column) error {
			table := debezium.Table{Topic: topics[3].Name, Columns: append(columns[:1:1], extra...), Key: []string{"customer_id"}}
			var schema *codec.Schema
			if schema, err = table.ValueSchema(); err != nil {
				t.Fatal(err)
			}
			_, err := s.Register(ctx, table.Topic+"-value", schema.String())
			return err
		}
		text := debezium.Type{Kind: debezium.Text}
		if err := register(); err != nil {
			t.Error(err)
		}
		if err := register(debezium.Column{Name: "name", Type: text, Nullable: true}); err != nil {
			t.Error(err)
		}
		var ie *serde.IncompatibleError
		if err := register(debezium.Column{Name: "email", Type: text}); !errors.As(err, &ie) || ie.Version != 2 || ie.Field != "before.email" {
			t.Errorf("a new column that may not be null: %v", err)
		}
	})
	t.Run("another registry on the topic", func(t *testing.T) {
		other := newSerde(startRegistry(t, brokers, topic))
		if err := other.Check(ctx, orders); err != nil {
			t.Error(err)
		}
		got, err := other.Decode(ctx, value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events.Event(placed()), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
