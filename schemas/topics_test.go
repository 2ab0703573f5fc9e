package schemas_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
)

// TestEveryEventHasATopic keeps declarations and schemas together.
func TestEveryEventHasATopic(t *testing.T) {
	on := map[string]string{}
	for _, topic := range schemas.Declared() {
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

// TestDeclarations pins what running systems rely on; later services add topics.
func TestDeclarations(t *testing.T) {
	var got []string
	for _, topic := range schemas.Topics() {
		got = append(got, fmt.Sprintf("%s %d %s %s %s", topic.Name, topic.Partitions, topic.Config["cleanup.policy"], topic.Config["retention.ms"], topic.Compatibility))
		if again, ok := schemas.Lookup(topic.Name); !ok || again.Name != topic.Name {
			t.Errorf("Lookup(%q) = %v, %v", topic.Name, again, ok)
		}
	}
	want := []string{
		"orders.v1 6 delete -1 FULL_TRANSITIVE",
		"inventory.v1 6 delete 604800000 FULL_TRANSITIVE",
		"cdc.inventory.public.products 3 compact  BACKWARD",
		"cdc.order.public.customers 3 compact  BACKWARD",
		"logs.v1 3 delete 86400000 FULL_TRANSITIVE",
	}
	if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, ok := schemas.Lookup("nope"); ok {
		t.Error("found a topic that is not declared")
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
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.topic.Name, diff)
		}
	}
}

func TestDeadLetter(t *testing.T) {
	var names []string
	orders := schemas.Topic{Name: "orders.v1", Groups: []string{"inventory", "notification", "search-sync"}}
	for _, d := range orders.DeadLetters() {
		names = append(names, d.Name)
		if d.Partitions != 1 || d.Config["retention.ms"] != "1209600000" {
			t.Errorf("%s: %d partitions, %v", d.Name, d.Partitions, d.Config)
		}
	}
	want := []string{"orders.v1.inventory.dlq", "orders.v1.notification.dlq", "orders.v1.search-sync.dlq"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
