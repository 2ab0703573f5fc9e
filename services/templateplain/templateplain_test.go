package templateplain_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/events/eventstest"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/templateplain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the service on a platform of its own.
type harness struct {
	t        *testing.T
	platform *kittest.Platform
	*kittest.Running
	log *lines
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, platform: kittest.NewPlatform(t), log: &lines{}}
	cfg := templateplain.Config{Config: h.platform.Config, Listener: kittest.Listener(t)}
	s, err := templateplain.New(t.Context(), cfg, kittest.Telemetry(t, telemetry.Config{Service: templateplain.Name, Output: h.log}))
	if err != nil {
		t.Fatal(err)
	}
	h.Running = kittest.Run(t, s)
	return h
}

// lines is what the service logs.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// about counts the lines that contain a text.
func (l *lines) about(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

//template:if typed

// sent is an event that another service announced.
type sent struct {
	topic, key, id string
	event          events.Event
}

// samples are an event of each type that is consumed, of one customer.
func samples(t *testing.T) (out []sent) {
	t.Helper()
	customer := uuid.NewString()
	//template:each event
	out = append(out, sent{schemas.TopicOrders, customer, uuid.NewString(), eventstest.Sample(t, "quokka.order.v1.OrderPlaced")})
	//template:end
	return out
}

func (h *harness) send(events ...sent) {
	h.t.Helper()
	for _, e := range events {
		h.platform.Emit(h.t, e.topic, e.key, e.id, e.event)
	}
}

// Each event is seen, and told once also if it comes twice.
func TestEveryEvent(t *testing.T) {
	h := start(t)
	all := samples(t)
	h.send(all...)
	h.send(all...)
	for _, e := range all {
		kittest.Eventually(t, "a line about "+e.event.AvroName(), func() bool { return h.log.about(e.id) > 0 })
	}
	h.handled()
	for _, e := range all {
		if n := h.log.about(e.id); n != 1 {
			t.Errorf("%d lines about %s, want one", n, e.event.AvroName())
		}
	}
}

//template:end

// handled waits until the service has handled all that is on its topics.
func (h *harness) handled() {
	h.t.Helper()
	brokers := h.platform.Config.KafkaBrokers
	client := kittest.Client(h.t, brokers)
	defer client.Close()
	for _, topic := range []string{
		//template:each topic
		schemas.TopicOrders,
		//template:end
		//template:each untyped
		schemas.TopicCDCCustomers,
		//template:end
	} {
		want := int64(len(kittest.ReadAll(h.t, brokers, topic)))
		kittest.Eventually(h.t, "all of "+topic+" to be handled", func() bool {
			return kittest.Committed(h.t, client, templateplain.Name, topic) == want
		})
	}
}

//template:each untyped

// A change of a row on cdc.order.public.customers is seen.
func TestCustomersChanged(t *testing.T) {
	h := start(t)
	changes := kittest.NewChanges(t, h.platform, debezium.Table{
		Topic: schemas.TopicCDCCustomers, Key: []string{"id"},
		Columns: []debezium.Column{{Name: "id", Type: debezium.Type{Kind: debezium.Text}}},
	})
	changes.Write(10, 1, debezium.Create, map[string]any{"id": "1"})
	h.handled()
	if n := h.log.about(schemas.TopicCDCCustomers); n != 1 {
		t.Errorf("%d lines about the change, want one", n)
	}
}

//template:end
//template:if http typed

func TestList(t *testing.T) {
	h := start(t)
	all := samples(t)
	h.send(all...)
	h.handled()
	var page struct{ Recent []templateplain.Sighting }
	h.Do("GET", "/recent?limit=500", nil).Into(t, &page)
	if len(page.Recent) != len(all) {
		t.Errorf("%d sightings, want %d: %v", len(page.Recent), len(all), page.Recent)
	}
	if a := h.Do("GET", "/recent?limit=0", nil); a.Status != 400 {
		t.Errorf("limit=0: %d %s", a.Status, a.Body)
	}
}

//template:end

func TestRecentForgetsTheOldest(t *testing.T) {
	var r templateplain.Recent
	for i := range 501 {
		r.Add(templateplain.Sighting{EventID: string(rune('a' + i))})
	}
	all := r.List("", 1000)
	if len(all) != 500 || all[0].EventID != string(rune('a'+500)) || all[499].EventID != "b" {
		t.Errorf("%d kept, from %v to %v", len(all), all[len(all)-1], all[0])
	}
	if r.Add(all[7]) || len(r.List("", 1000)) != 500 {
		t.Error("what is kept was kept again")
	}
}
