package notification_test

import (
	"bytes"
	"errors"
	"io"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/notification"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mailbox is a mail server that keeps what it takes.
type mailbox struct {
	mu     sync.Mutex
	mails  []*mail.Message
	refuse int // deliveries still to refuse
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return (*session)(m), nil }

// received returns the mails about an order, by subject.
func (m *mailbox) received(order string) map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	subjects := map[string]int{}
	for _, mail := range m.mails {
		if mail.Header.Get("X-Quokka-Order") == order {
			subjects[mail.Header.Get("Subject")]++
		}
	}
	return subjects
}

type session mailbox

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }

// Rcpt knows nobody at nowhere.test.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasSuffix(to, "@nowhere.test") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return &smtp.SMTPError{Code: 451, Message: "try again later"}
	}
	msg, err := mail.ReadMessage(bytes.NewReader(body))
	if err != nil {
		return err
	}
	s.mails = append(s.mails, msg)
	return nil
}

func serveMail(t *testing.T) (*mailbox, string) {
	t.Helper()
	box := &mailbox{}
	server := smtp.NewServer(box)
	listener := kittest.Listener(t)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return box, listener.Addr().String()
}

var customers = debezium.Table{
	Topic: schemas.TopicCDCCustomers,
	Key:   []string{"customer_id"},
	Columns: []debezium.Column{
		{Name: "customer_id", Type: debezium.Type{Kind: debezium.UUID}},
		{Name: "name", Type: debezium.Type{Kind: debezium.Text}, Nullable: true},
		{Name: "email", Type: debezium.Type{Kind: debezium.Text}, Nullable: true},
	},
}

// TestMails: one mail per event, whatever arrives twice, late or before the
// address; a mail server that is away is waited for.
func TestMails(t *testing.T) {
	platform := kittest.NewPlatform(t)
	box, smtpAddr := serveMail(t)
	cfg := notification.Config{Config: platform.Config, SMTPAddr: smtpAddr, Listener: kittest.Listener(t)}
	cfg.PostgresURL, cfg.Database = kittest.Database(t)
	service, err := notification.New(t.Context(), cfg, kittest.Telemetry(t, telemetry.Config{Service: notification.Name}))
	if err != nil {
		t.Fatal(err)
	}
	running := kittest.Run(t, service)
	client := kittest.Client(t, cfg.KafkaBrokers)
	changes := kittest.NewChanges(t, platform, customers)

	customer, order := uuid.NewString(), uuid.NewString()
	placed := &events.OrderPlaced{OrderID: order, CustomerID: customer, Version: 1, OccurredAt: time.Now(), Lines: []events.OrderLine{{SKU: "SKU-1", Quantity: 2}}}
	confirmed := &events.OrderConfirmed{OrderID: order, CustomerID: customer, Version: 2, OccurredAt: time.Now()}
	placedID, confirmedID := uuid.NewString(), uuid.NewString()
	publish := func(id string, e events.Event) {
		t.Helper()
		platform.Publish(t, client, schemas.TopicOrders, customer, id, e)
	}

	box.mu.Lock()
	box.refuse = 2
	box.mu.Unlock()
	publish(placedID, placed)
	publish(placedID, placed)
	publish(confirmedID, confirmed)

	// The address comes after the events; an older change that comes later does
	// not take it back.
	row := func(name, email string) map[string]any {
		return map[string]any{"customer_id": customer, "name": name, "email": email}
	}
	changes.Write(20, 1, debezium.Create, row("Ada Lovelace", "ada@example.test"))
	changes.Write(10, 1, debezium.Create, row("Nobody", "nobody@example.test"))
	publish(placedID, placed)

	want := map[string]int{"We have received your order": 1, "Your order is confirmed": 1}
	kittest.Eventually(t, "both mails", func() bool { return len(box.received(order)) == len(want) })

	// The end of what was published is known once a later event is answered.
	last := uuid.NewString()
	publish(last, &events.OrderCancelled{OrderID: order, CustomerID: customer, Version: 3, OccurredAt: time.Now()})
	want["Your order is cancelled"] = 1
	kittest.Eventually(t, "the last mail", func() bool { return box.received(order)["Your order is cancelled"] > 0 })
	for subject, n := range box.received(order) {
		if n != want[subject] {
			t.Errorf("%d mails %q, want %d", n, subject, want[subject])
		}
	}
	box.mu.Lock()
	for _, m := range box.mails {
		if to := m.Header.Get("To"); !strings.Contains(to, "ada@example.test") {
			t.Errorf("mailed to %q", to)
		}
	}
	if id := box.mails[0].Header.Get("Message-ID"); id != "<"+placedID+"@quokka.local>" {
		t.Errorf("Message-ID %q, want the event's id", id)
	}
	box.mu.Unlock()

	var listed struct{ Notifications []notification.Notification }
	running.Do("GET", "/notifications?order_id="+order, nil).Into(t, &listed)
	if len(listed.Notifications) != 3 {
		t.Errorf("%d notifications listed, want 3: %+v", len(listed.Notifications), listed.Notifications)
	}
	for _, n := range listed.Notifications {
		if n.Status != notification.Sent || n.SentAt == nil {
			t.Errorf("notification %+v, want it sent", n)
		}
	}
	if a := running.Do("GET", "/notifications?order_id=nonsense&limit=0", nil); a.Status != 422 || a.Code() != "invalid_query" {
		t.Errorf("bad query: %d %s", a.Status, a.Body)
	}
}

// TestRefusedAddress: a mail that the server will never take is not tried for
// ever: its event is a dead letter. Replayed once the address is mended, it is
// mailed; the customer's other events were not held up.
func TestRefusedAddress(t *testing.T) {
	platform := kittest.NewPlatform(t)
	box, smtpAddr := serveMail(t)
	cfg := notification.Config{Config: platform.Config, SMTPAddr: smtpAddr, Listener: kittest.Listener(t)}
	cfg.PostgresURL, cfg.Database = kittest.Database(t)
	service, err := notification.New(t.Context(), cfg, kittest.Telemetry(t, telemetry.Config{Service: notification.Name}))
	if err != nil {
		t.Fatal(err)
	}
	kittest.Run(t, service)
	client := kittest.Client(t, cfg.KafkaBrokers)
	changes := kittest.NewChanges(t, platform, customers)

	customer, order := uuid.NewString(), uuid.NewString()
	changes.Write(10, 1, debezium.Create, map[string]any{"customer_id": customer, "name": "Ada", "email": "ada@nowhere.test"})
	eventID := uuid.NewString()
	platform.Publish(t, client, schemas.TopicOrders, customer, eventID,
		&events.OrderPlaced{OrderID: order, CustomerID: customer, Version: 1, OccurredAt: time.Now(), Lines: []events.OrderLine{{SKU: "SKU-1", Quantity: 2}}})
	dead := schemas.DeadLetter(schemas.TopicOrders, schemas.GroupNotification).Name
	letter := func() *kgo.Record {
		for _, r := range kittest.ReadAll(t, cfg.KafkaBrokers, dead) {
			if consume.Header(r, "ce_id") == eventID {
				return r
			}
		}
		return nil
	}
	kittest.Eventually(t, "a dead letter", func() bool { return letter() != nil })
	if reason := consume.Header(letter(), consume.HeaderDeadMessage); !strings.Contains(reason, "address refused") || !strings.Contains(reason, "no such user") {
		t.Errorf("given up because: %s", reason)
	}

	changes.Write(20, 1, debezium.Update, map[string]any{"customer_id": customer, "name": "Ada", "email": "ada@example.test"})
	// Replayed before the change has come, it fails again: the mail goes out with
	// the first replay after it.
	kittest.Eventually(t, "the mail", func() bool {
		request := letter()
		request.Headers = append(request.Headers, kgo.RecordHeader{Key: consume.HeaderReplayOf, Value: []byte("0")})
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: dead, Key: request.Key, Value: request.Value, Headers: request.Headers}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return len(box.received(order)) == 1
	})
}
