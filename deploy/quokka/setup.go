package main

import (
	"context"
	"errors"
	"fmt"
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
	Search       string   `env:"QUOKKA_SEARCH_URL" placeholder:"URL" help:"OpenSearch, if search-sync uses one; it is waited for."`
	SearchFile   string   `name:"search-url-file" env:"QUOKKA_SEARCH_URL_FILE" placeholder:"FILE" help:"File with that URL."`
}

// Run makes databases, topics and schemas, and ties them together. Again it
// changes nothing.
func (c *setupCmd) Run(ctx context.Context, out *output) error {
	err := errors.Join(fromFile(&c.Postgres, "--postgres-url-file", c.PostgresFile), fromFile(&c.Search, "--search-url-file", c.SearchFile))
	if err != nil {
		return err
	}
	if c.Postgres == "" {
		return errors.New("name the PostgreSQL server with --postgres or QUOKKA_POSTGRES_URL")
	}
	for _, name := range installation.Databases {
		if err := postgres.Provision(ctx, c.Postgres, name); err != nil {
			return err
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka...), kgo.ClientID("quokka-setup"))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(client)
	defer admin.Close()
	cluster, err := clusterID(ctx, admin, c.Kafka)
	if err != nil {
		return err
	}
	if c.Search != "" {
		waiting := func(err error) { logger("setup").Warn("waiting for OpenSearch", "error", err) }
		if err := installation.AwaitSearch(ctx, c.Search, searchPatience, waiting); err != nil {
			return err
		}
	}
	mark, err := installation.Ensure(ctx, installation.Config{
		PostgresURL: c.Postgres, RegistryURL: c.Registry, SearchURL: c.Search, Kafka: strings.Join(c.Kafka, ","), Cluster: cluster, Admin: admin,
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

// searchPatience is how long an OpenSearch that starts beside us may take.
const searchPatience = 3 * time.Minute

func clusterID(ctx context.Context, admin *kadm.Client, brokers []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	about, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return "", fmt.Errorf("no answer from Kafka at %s: %w (--kafka or QUOKKA_KAFKA_BROKERS names it)", strings.Join(brokers, ","), err)
	}
	return about.Cluster, nil
}
