// Package kittest is what the tests of the kit and of the services share: a
// database and topics of their own, and waiting for a condition.
package kittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/internal/pgserver"
	"github.com/quokka-stream/quokka/services/kit/postgres"
)

var databases atomic.Int64

// Database provisions a database with a name of its own, dropped when the test
// ends, on the server that all tests of the binary share.
func Database(t testing.TB) (serverURL, name string) {
	t.Helper()
	serverURL = ServerURL(t)
	name = fmt.Sprintf("quokka_test_%d", databases.Add(1))
	if err := postgres.Provision(t.Context(), serverURL, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		conn, err := pgx.Connect(ctx, serverURL)
		if err != nil {
			t.Logf("drop test database: %v", err)
			return
		}
		defer conn.Close(ctx)
		for _, statement := range []string{"drop database if exists " + name + " with (force)", "drop role if exists " + name} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				t.Logf("drop test database: %v", err)
			}
		}
	})
	return serverURL, name
}

// ServerURL is the URL of the server that all tests of the binary share. A connection
// may take as long as a machine that stands still for a while needs.
func ServerURL(t testing.TB) string {
	t.Helper()
	return pgserver.ForTest(t) + "&connect_timeout=180"
}

// Pool opens a database of its own as a service does.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	serverURL, name := Database(t)
	pool, err := postgres.Open(t.Context(), serverURL, name, postgres.Options{MaxConns: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Client returns a Kafka client.
func Client(t testing.TB, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.AllowAutoTopicCreation(),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Unique makes a name for a topic or group that no other test has.
func Unique(base string) string {
	return base + "." + strings.ReplaceAll(uuid.NewString()[:13], "-", "")
}

// CreateTopics creates topics with this many partitions.
func CreateTopics(t testing.TB, client *kgo.Client, partitions int32, topics ...string) {
	t.Helper()
	resp, err := kadm.NewClient(client).CreateTopics(t.Context(), partitions, -1, nil, topics...)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range resp.Sorted() {
		if topic.Err != nil {
			t.Fatalf("create topic %s: %v", topic.Topic, topic.Err)
		}
	}
}

// Committed returns the sum of a group's committed offsets on a topic; -1 if the
// broker was just restarted and the client has not noticed yet.
func Committed(t testing.TB, client *kgo.Client, group, topic string) int64 {
	t.Helper()
	offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), group)
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		return 0
	case errors.Is(err, io.EOF), kerr.IsRetriable(err):
		return -1 // the broker ends, or begins
	}
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.At > 0 {
			sum += o.At
		}
	})
	return sum
}

// ReadAll returns what a topic holds up to its present end.
func ReadAll(t testing.TB, brokers []string, topic string) []*kgo.Record {
	t.Helper()
	client := Client(t, brokers, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out []*kgo.Record
	for int64(len(out)) < want {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s: read %d of %d records in time", topic, len(out), want)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// Eventually waits until ok returns true.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	const limit = 3 * time.Minute
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("test ended while waiting for %s", what)
		}
	}
}
