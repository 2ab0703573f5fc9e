package operate

import (
	"context"
	"fmt"
)

// NewTopic is a topic to make.
type NewTopic struct {
	Name string
	// Partitions and Replicas are how many; -1 is the cluster's default.
	Partitions int32
	Replicas   int16
	// Settings are topic settings by name, such as cleanup.policy.
	Settings map[string]string
}

// Create makes a topic that does not exist yet.
func (c *Client) Create(ctx context.Context, n NewTopic) error {
	settings := map[string]*string{}
	for name, value := range n.Settings {
		settings[name] = &value
	}
	if _, err := c.admin.CreateTopic(ctx, n.Partitions, n.Replicas, settings, n.Name); err != nil {
		return fmt.Errorf("create %s: %w", n.Name, err)
	}
	return nil
}
