package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestDeadLetterStory: a record fails, is given up and counted as lost; its cause
// is mended, it is replayed, and nothing is lost any more. On the way the commands
// that look at topics and groups show what happens.
func TestDeadLetterStory(t *testing.T) {
	dir := dataDir(t)
	p, at := up(t, dir)
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	q := func(want int, args ...string) string {
		t.Helper()
		return quokka(t, want, append(args, "--data-dir", dir)...)
	}
	says := func(out string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("%q is not in:\n%s", text, out)
			}
		}
	}
	const letters = "orders.v1.notification.dlq"
	says(q(0, "orders"), "no orders yet")
	says(q(0, "dlq"), "no dead letters in")

	// The mail server knows no domain under .invalid.
	customer := field(t, post(t, client, at.OrderURL+"/customers", map[string]any{"name": "Ada", "email": "ada@shop.invalid"}, http.StatusCreated), "customer_id")
	put(t, client, at.InventoryURL+"/products/E2E-1", map[string]any{"name": "Lamp", "description": "", "price_cents": 100, "currency": "EUR", "initial_stock": 5})
	order := placeOrder(t, client, at, customer, "E2E-1", 2)
	says(q(1, "verify"), "✗ lost 1 ·", "order "+order, "dead-lettered to "+letters, "no mail for OrderConfirmed")
	if got := strings.TrimSpace(q(0, "orders", "list", "--newest", "1", "--quiet")); got != order {
		t.Errorf("the newest order is %s, want %s", got, order)
	}
	says(q(0, "orders", "history", order), "OrderPlaced", "OrderConfirmed", "confirmed")
	says(q(0, "topics", "read", "orders.v1", "--header", "ce_subject="+order), "OrderPlaced", "OrderConfirmed", `"sku": "E2E-1"`, customer)
	says(q(0, "topics", "show", letters), "records of orders.v1 that group notification gave up")
	says(q(0, "groups", "show", "notification"), "Stable, 1 member, lag 0", letters)
	says(q(0, "lag", "notification"), "orders.v1")
	says(q(1, "groups", "reset", "notification", "--topic", "orders.v1", "--to", "earliest", "--yes"), "stop them first")

	says(q(0, "dlq"), letters+"  notification     2")
	says(q(0, "dlq", "show"), "there is no domain .invalid", order, "orders.v1[", "1 attempt", "OrderPlaced")
	// Nothing is mended yet: both fail again, and stand there with the new count.
	says(q(1, "dlq", "replay", letters, "--all"), "2 of 2 failed again")
	says(q(0, "dlq", "show", letters), "1 replay before")

	put(t, client, at.OrderURL+"/customers/"+customer, map[string]any{"name": "Ada", "email": "ada@example.test"})
	eventually(t, "the change of address", func() bool {
		if !strings.Contains(q(0, "topics", "read", "cdc.order.public.customers", "--key", customer, "--json"), "ada@example.test") {
			return false
		}
		var lags []struct {
			Topic string
			Lag   int64
		}
		if err := json.Unmarshal([]byte(q(0, "lag", "notification", "--json")), &lags); err != nil {
			t.Fatal(err)
		}
		for _, l := range lags {
			if l.Topic == "cdc.order.public.customers" {
				return l.Lag == 0
			}
		}
		return false
	})
	says(q(0, "dlq", "replay", letters, "--all", "--dry-run"), "chosen", "2 letters would be replayed, nothing changed")
	says(q(0, "dlq", "replay", letters, "--order", order, "--rate", "100"), "handled")
	says(q(0, "dlq", "replay", letters, "--all"), "nothing to replay")
	says(q(0, "dlq", "replay", letters, "--order", order), "it has been replayed")
	says(q(0, "dlq", "show"), "no dead letters")
	// Nothing lost, and each event was mailed once.
	says(q(0, "verify", "--wait", "4m"), "1 orders, 2 events, 2 mails", "✓ lost 0 · duplicate effects 0 · order inversions 0 · stock conserved")

	// Another instance is another member of its group, for as long as it runs.
	second := start(t, []string{
		"QUOKKA_KAFKA_BROKERS=" + at.KafkaText(), "QUOKKA_REGISTRY_URL=" + at.RegistryURL, "QUOKKA_POSTGRES_URL=" + at.PostgresURL,
		"QUOKKA_SMTP_ADDR=" + at.SMTP, "QUOKKA_NOTIFICATION_ADDR=127.0.0.1:0",
	}, "notification")
	eventually(t, "a second member", func() bool { return strings.Contains(q(0, "groups", "show", "notification"), "Stable, 2 members") })
	placed := strings.TrimSpace(q(0, "orders", "place", "--quiet"))
	says(q(0, "verify", "--wait", "4m"), "2 orders", "✓ lost 0")
	says(q(0, "orders", "history", placed), "OrderConfirmed")
	second.signal(syscall.SIGTERM)
	if code := second.wait(); code != 0 {
		t.Errorf("the second member ended with %d:\n%s", code, second.output)
	}

	// A record that nobody can read is given up by every group, by name.
	says(q(0, "topics", "write", "orders.v1", "--key", customer, "--value", "not an event"), "written to orders.v1[")
	eventually(t, "three dead letters", func() bool { return strings.Count(q(0, "dlq", "show"), "the first byte is 0x6e") == 3 })
	stop(t, p, dir)
}
