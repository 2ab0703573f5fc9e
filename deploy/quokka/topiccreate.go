package main

import (
	"context"

	"github.com/quokka-stream/quokka/deploy/operate"
)

type topicsCreateCmd struct {
	Topic      string            `arg:"" help:"The topic's name."`
	Partitions int32             `default:"-1" placeholder:"N" help:"How many (default: the cluster's default)."`
	Replicas   int16             `default:"-1" placeholder:"N" help:"How many copies of each partition (default: the cluster's default)."`
	Setting    map[string]string `placeholder:"NAME=VALUE" help:"A topic setting, such as cleanup.policy=compact."`
	cluster
}

func (topicsCreateCmd) Help() string {
	return `Examples:
  quokka topics create demo --partitions 3
  quokka topics create addresses --setting cleanup.policy=compact

The platform's own topics are made by quokka up and quokka schemas apply.`
}

func (c *topicsCreateCmd) Run(ctx context.Context, out *output) error {
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Create(ctx, operate.NewTopic{Name: c.Topic, Partitions: c.Partitions, Replicas: c.Replicas, Settings: c.Setting}); err != nil {
		return err
	}
	out.out.Printf("  %s is there\n", c.Topic)
	return nil
}
