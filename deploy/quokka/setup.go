package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/installation"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/services/kit/postgres"
)

// setupCmd prepares what the parts need before they start one by one. `up` does
// the same for itself.
type setupCmd struct {
	Kafka        []string `default:"127.0.0.1:9092" env:"QUOKKA_KAFKA_BROKERS" placeholder:"ADDR" help:"Kafka (${default})."`
	Registry     string   `default:"http://127.0.0.1:8081" env:"QUOKKA_REGISTRY_URL" placeholder:"URL" help:"Schema registry (${default})."`
	Postgres     string   `env:"QUOKKA_POSTGRES_URL" placeholder:"URL" help:"PostgreSQL, with a login that may create roles and databases."`
	PostgresFile string   `name:"postgres-url-file" env:"QUOKKA_POSTGRES_URL_FILE" placeholder:"FILE" help:"File with that URL."`
}

// Run makes databases, topics and schemas, and ties them together. Again it
// changes nothing.
func (c *setupCmd) Run(ctx context.Context, out *output) error {
	if c.Postgres == "" && c.PostgresFile != "" {
		url, err := os.ReadFile(c.PostgresFile)
		if err != nil {
			return err
		}
		c.Postgres = strings.TrimSpace(string(url))
	}
	if c.Postgres == "" {
		return errors.New("name the PostgreSQL server with --postgres or QUOKKA_POSTGRES_URL")
	}
	for _, name := range installation.Databases {
		if err := postgres.Provision(ctx, c.Postgres, name); err != nil {
			return err
		}
	}
	cluster, err := clusterID(ctx, c.Kafka)
	if err != nil {
		return err
	}
	mark, err := installation.Ensure(ctx, installation.Config{
		PostgresURL: c.Postgres, RegistryURL: c.Registry, Kafka: strings.Join(c.Kafka, ","), Cluster: cluster,
	})
	if err != nil {
		return err
	}
	if err := apply.Apply(ctx, apply.Config{Brokers: c.Kafka, RegistryURL: c.Registry, Logger: logger("setup")}); err != nil {
		return err
	}
	out.out.Printf("databases, topics and schemas are there: installation %s on Kafka cluster %s\n", mark.ID, cluster)
	return nil
}

func clusterID(ctx context.Context, brokers []string) (string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("quokka-setup"))
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	about, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return "", fmt.Errorf("no answer from Kafka at %s: %w (--kafka or QUOKKA_KAFKA_BROKERS names it)", strings.Join(brokers, ","), err)
	}
	return about.Cluster, nil
}
