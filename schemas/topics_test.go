package schemas_test

import (
	"testing"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
)

// TestEveryEventHasATopic keeps declarations and schemas together.
func TestEveryEventHasATopic(t *testing.T) {
	on := map[string]string{}
	for _, topic := range schemas.Topics() {
		for _, name := range topic.Schemas {
			if _, ok := events.New(name); !ok {
				t.Errorf("topic %s carries %s, which is not an event", topic.Name, name)
			}
			on[name] = topic.Name
		}
		if topic.Subjects != schemas.NoSubject && topic.Compatibility == "" {
			t.Errorf("topic %s has no compatibility level", topic.Name)
		}
	}
	for _, name := range events.Names() {
		if on[name] == "" {
			t.Errorf("event %s is on no topic", name)
		}
	}
}

func TestSubjects(t *testing.T) {
	tests := []struct {
		topic schemas.Topic
		want  []string
	}{
		{schemas.Orders, []string{
			"orders.v1-quokka.order.v1.OrderCancelled", "orders.v1-quokka.order.v1.OrderConfirmed",
			"orders.v1-quokka.order.v1.OrderPlaced", "orders.v1-quokka.order.v1.OrderRejected",
		}},
		{schemas.Logs, []string{"logs.v1-value"}},
		{schemas.CDCProducts, []string{"cdc.inventory.public.products-key", "cdc.inventory.public.products-value"}},
		{schemas.DeadLetter("orders.v1", "inventory"), nil},
	}
	for _, tt := range tests {
		got := tt.topic.SubjectNames()
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q, want %q", tt.topic.Name, got, tt.want)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: %q, want %q", tt.topic.Name, got, tt.want)
			}
		}
	}
}

func TestDeadLetter(t *testing.T) {
	var names []string
	for _, d := range schemas.Orders.DeadLetters() {
		names = append(names, d.Name)
		if d.Partitions != 1 || d.Config["retention.ms"] != "1209600000" {
			t.Errorf("%s: %d partitions, %v", d.Name, d.Partitions, d.Config)
		}
	}
	want := []string{"orders.v1.inventory.dlq", "orders.v1.notification.dlq", "orders.v1.search-sync.dlq"}
	if len(names) != len(want) {
		t.Fatalf("got %q, want %q", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Errorf("got %q, want %q", names, want)
		}
	}
}
