package installation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/quokka-stream/quokka/cdc"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/schemas"
)

// Databases are the platform's, each owned by the role of the same name.
var Databases = roster.Databases()

// Reset deletes everything of Quokka's in the given places: its topics and
// groups, its databases with their replication slots, its search indexes, its
// mark in the registry, and the named files in the data directory. Topics, groups and databases of
// others stay, and so do the registered schemas: an id is never used again.
func Reset(ctx context.Context, cfg Config, files ...string) error {
	if err := resetKafka(ctx, cfg.Admin); err != nil {
		return fmt.Errorf("reset Kafka at %s: %w", cfg.Kafka, err)
	}
	if err := resetPostgres(ctx, cfg.PostgresURL); err != nil {
		return fmt.Errorf("reset PostgreSQL at %s: %w", withoutPassword(cfg.PostgresURL), err)
	}
	if err := (registry{cfg.RegistryURL}).forget(ctx); err != nil {
		return fmt.Errorf("reset the schema registry at %s: %w", cfg.RegistryURL, err)
	}
	if cfg.SearchURL != "" {
		if err := (search{url: cfg.SearchURL}).forget(ctx); err != nil {
			return fmt.Errorf("reset OpenSearch at %s: %w", shown(cfg.SearchURL), err)
		}
	}
	for _, name := range append(files, fileName) {
		if err := os.RemoveAll(filepath.Join(cfg.DataDir, name)); err != nil {
			return err
		}
	}
	return nil
}

// resetKafka deletes the topics and groups, and returns once the topics are gone.
func resetKafka(ctx context.Context, admin *kadm.Client) error {
	topics, groups := []string{cdc.DefaultStateTopic}, []string(nil)
	for _, t := range schemas.Topics() {
		topics = append(topics, t.Name)
		for _, letters := range t.DeadLetters() {
			topics = append(topics, letters.Name)
		}
		groups = append(groups, t.Groups...)
	}
	slices.Sort(groups)
	deletedGroups, err := admin.DeleteGroups(ctx, slices.Compact(groups)...)
	if err != nil {
		return err
	}
	for _, d := range deletedGroups {
		if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
			return fmt.Errorf("group %s: %w (stop its consumers first)", d.Group, d.Err)
		}
	}
	deleted, err := admin.DeleteTopics(ctx, topics...)
	if err != nil {
		return err
	}
	for _, d := range deleted {
		if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s: %w", d.Topic, d.Err)
		}
	}
	// A cluster may forget a topic some time after it answered.
	for {
		left, err := admin.ListTopics(ctx, topics...)
		if err != nil {
			return err
		}
		left.FilterInternal()
		if !slices.ContainsFunc(topics, func(t string) bool { return left.Has(t) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topics are still there: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func resetPostgres(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// A slot in use keeps its database: its walsender is ended first.
	_, err = conn.Exec(ctx, `select pg_terminate_backend(active_pid) from pg_replication_slots where database = any($1) and active_pid is not null`, Databases)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err = conn.Exec(ctx, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = any($1)`, Databases)
		if err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("drop the replication slots (is a cdc still running?): %w", err)
	}
	for _, name := range Databases {
		if _, err := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)"); err != nil {
			return err
		}
	}
	return nil
}
