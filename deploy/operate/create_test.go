package operate

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestCreate(t *testing.T) {
	c, _ := newClient(t)
	topic := NewTopic{Name: "fresh", Partitions: 3, Replicas: -1, Settings: map[string]string{"cleanup.policy": "compact"}}
	if err := c.Create(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	made, err := c.Topic(t.Context(), "fresh")
	compacted := slices.ContainsFunc(made.Settings, func(s Setting) bool { return s.Name == "cleanup.policy" && s.Value == "compact" })
	if err != nil || len(made.Partitions) != 3 || !compacted {
		t.Errorf("%+v, %v", made, err)
	}
	if err := c.Create(t.Context(), topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("again: %v", err)
	}
}
