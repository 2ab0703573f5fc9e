package template_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/events/eventstest"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the service on a platform of its own.
type harness struct {
	t        *testing.T
	platform *kittest.Platform
	*kittest.Running
	db *pgx.Conn
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, platform: kittest.NewPlatform(t)}
	cfg := template.Config{Config: h.platform.Config, Listener: kittest.Listener(t)}
	cfg.PostgresURL, cfg.Database = kittest.Database(t)
	s, err := template.New(t.Context(), cfg, kittest.Telemetry(t, telemetry.Config{Service: template.Name}))
	if err != nil {
		t.Fatal(err)
	}
	h.Running, h.db = kittest.Run(t, s), kittest.Connect(t, cfg.PostgresURL, cfg.Database)
	return h
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
			return kittest.Committed(h.t, client, template.Name, topic) == want
		})
	}
}

func (h *harness) count() (n int) {
	h.t.Helper()
	if err := h.db.QueryRow(h.t.Context(), `select count(*) from entries`).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

//template:if typed

// Each event is recorded once, also if it comes twice, and if it comes again after
// the inbox has forgotten it.
func TestEveryEventOnce(t *testing.T) {
	h := start(t)
	all := samples(t)
	h.send(all...)
	h.send(all...)
	h.handled()
	if n := h.count(); n != len(all) {
		t.Errorf("%d entries, want one for each of %d events", n, len(all))
	}
	if _, err := h.db.Exec(t.Context(), `delete from inbox`); err != nil {
		t.Fatal(err)
	}
	h.send(all...)
	last := samples(t)[0]
	last.key = all[0].key
	all = append(all, last)
	h.send(last)
	h.handled()
	if n := h.count(); n != len(all) {
		t.Errorf("%d entries after a replay and one new event, want %d", n, len(all))
	}
	//template:each produced
	t.Run("examples.v1", func(t *testing.T) {
		var causes []string
		kittest.Eventually(t, "the last event to be announced", func() bool {
			causes = nil
			for _, e := range h.platform.Read(t, schemas.TopicExamples)[last.key] {
				causes = append(causes, e.(*events.ExampleRecorded).CauseID)
			}
			return slices.Contains(causes, last.id)
		})
		for _, e := range all {
			if i := slices.Index(causes, e.id); i < 0 || slices.Contains(causes[i+1:], e.id) {
				t.Errorf("%s %s was announced by %v, want once", e.event.AvroName(), e.id, causes)
			}
		}
	})
	//template:end
}

//template:end
//template:each untyped

// A change of a row on cdc.order.public.customers is recorded once.
func TestCustomersChanged(t *testing.T) {
	h := start(t)
	changes := kittest.NewChanges(t, h.platform, debezium.Table{
		Topic: schemas.TopicCDCCustomers, Key: []string{"id"},
		Columns: []debezium.Column{{Name: "id", Type: debezium.Type{Kind: debezium.Text}}},
	})
	changes.Write(10, 1, debezium.Create, map[string]any{"id": "1"})
	h.handled()
	if n := h.count(); n != 1 {
		t.Errorf("%d entries, want one", n)
	}
}

//template:end
//template:if http typed

func TestList(t *testing.T) {
	h := start(t)
	all := samples(t)
	h.send(all...)
	h.handled()
	var page struct{ Entries []template.Entry }
	h.Do("GET", "/entries?limit=500", nil).Into(t, &page)
	if len(page.Entries) != len(all) {
		t.Errorf("%d entries, want %d", len(page.Entries), len(all))
	}
	for _, e := range all {
		if !slices.ContainsFunc(page.Entries, func(got template.Entry) bool { return got.EventID == e.id && got.Type == e.event.AvroName() }) {
			t.Errorf("no entry of %s %s", e.event.AvroName(), e.id)
		}
	}
	if a := h.Do("GET", "/entries?limit=0", nil); a.Status != 400 {
		t.Errorf("limit=0: %d %s", a.Status, a.Body)
	}
}

//template:end
