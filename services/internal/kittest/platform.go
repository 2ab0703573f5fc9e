package kittest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/registry"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
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
	if err := apply.Apply(t.Context(), apply.Config{Brokers: brokers, RegistryURL: url, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	codec, err := serde.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(codec.Close)
	return &Platform{Config: service.Config{KafkaBrokers: brokers, RegistryURL: url, PostgresConns: 12}, Serde: codec}
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

// Connect connects to a database with the server's own login.
func Connect(t testing.TB, serverURL, name string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = name
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Listener listens on a free port.
func Listener(t testing.TB) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Telemetry makes a service's telemetry; its log becomes the test's if it fails.
func Telemetry(t testing.TB, cfg telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	if cfg.Output == nil {
		log := &buffer{}
		cfg.Output = log
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("log of %s:\n%s", cfg.Service, log.String())
			}
		})
	}
	tel, err := telemetry.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	return tel
}

// buffer is a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Running is a service under test.
type Running struct {
	// URL is the address of its API.
	URL  string
	t    testing.TB
	stop func() error
}

// Run runs a service until Stop, or the end of the test.
func Run(t testing.TB, s service.Service) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r := &Running{URL: "http://" + s.Addr(), t: t}
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return context.DeadlineExceeded
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("service ended with: %v", err)
		}
	})
	return r
}

// Stop shuts the service down and returns what its Run returned.
func (r *Running) Stop() error { return r.stop() }

// Answer is an HTTP response, read.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Into decodes the body.
func (a Answer) Into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, v); err != nil {
		t.Fatalf("status %d, body %q: %v", a.Status, a.Body, err)
	}
}

// Code returns the code of a problem.
func (a Answer) Code() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.Body, &p)
	return p.Code
}

var httpClient = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Do sends a request. body is sent as it is if it is a string, else as JSON; nil
// sends none. headers are pairs.
func (r *Running) Do(method, path string, body any, headers ...string) Answer {
	r.t.Helper()
	a, err := r.Try(method, path, body, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// Try is Do for goroutines other than the test's: it returns its error.
func (r *Running) Try(method, path string, body any, headers ...string) (Answer, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return Answer{}, err
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, r.URL+path, reader)
	if err != nil {
		return Answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: content}, err
}
