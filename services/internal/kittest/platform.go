package kittest

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/registry"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/service"
)

// Platform is what services stand on: a broker and a registry of the test's own,
// with all topics and schemas applied, and the shared PostgreSQL server.
type Platform struct {
	// Config is the common part of services' configuration.
	Config service.Config
	// Serde encodes and decodes events.
	Serde *serde.Serde

	client *kgo.Client
}

// NewPlatform starts a platform. The broker is always an embedded one: services
// use fixed topics and groups.
func NewPlatform(t testing.TB) *Platform {
	t.Helper()
	brokers := []string{brokertest.Start(t).Addr()}
	quiet := slog.New(slog.DiscardHandler)
	reg, err := registry.Open(t.Context(), registry.Config{Brokers: brokers, Listener: Listener(t), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = reg.Serve() })
	t.Cleanup(func() {
		_ = reg.Close()
		serving.Wait()
	})
	url := "http://" + reg.Addr()
	if err := apply.Apply(t.Context(), apply.Config{Brokers: brokers, RegistryURL: url, Topics: schemas.Declared(), Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	codec, err := serde.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(codec.Close)
	return &Platform{Config: service.Config{KafkaBrokers: brokers, RegistryURL: url, PostgresConns: 12, ConsumerSession: 30 * time.Second}, Serde: codec}
}

// Emit produces an event as another service does; id is its ce_id.
func (p *Platform) Emit(t testing.TB, topic, key, id string, e events.Event) {
	t.Helper()
	value, err := p.Serde.Encode(t.Context(), topic, e)
	if err != nil {
		t.Fatal(err)
	}
	p.Produce(t, &kgo.Record{Topic: topic, Key: []byte(key), Value: value, Headers: []kgo.RecordHeader{
		{Key: event.HeaderID, Value: []byte(id)}, {Key: event.HeaderType, Value: []byte(e.AvroName())},
	}})
}

// Produce writes records.
func (p *Platform) Produce(t testing.TB, records ...*kgo.Record) {
	t.Helper()
	if p.client == nil {
		p.client = Client(t, p.Config.KafkaBrokers)
	}
	if err := p.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// Read returns the events that a topic holds, per key in the order of the topic.
func (p *Platform) Read(t testing.TB, topic string) map[string][]events.Event {
	t.Helper()
	out := map[string][]events.Event{}
	for _, r := range ReadAll(t, p.Config.KafkaBrokers, topic) {
		e, err := p.Serde.Decode(t.Context(), r.Value)
		if err != nil {
			t.Fatal(err)
		}
		out[string(r.Key)] = append(out[string(r.Key)], e)
	}
	return out
}
