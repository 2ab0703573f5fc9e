package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/cdc/internal/rowavro"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// table is a captured table as its latest Relation describes it.
type table struct {
	relation *pgoutput.Relation
	keys     []bool // which columns are the key
	name     string // with its schema
	topic    string
	rows     *rowavro.Table
	// read: its rows have been read by a snapshot.
	read bool
	// stopped is what keeps the relay from writing its changes.
	stopped *stopper
	metrics tableMetrics
}

// stopper remembers why a topic is not written any more. It is set by whoever
// finds the cause: the publisher, or the client's acknowledgements.
type stopper struct {
	mu  sync.Mutex
	err *TableError
}

// stop sets the cause, unless there is one. It tells whether it was the first.
func (s *stopper) stop(err *TableError) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	s.err = err
	return true
}

func (s *stopper) set() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// tables makes tables of relations: it derives their schemas, registers them and
// makes sure of their topics.
type tables struct {
	source   Source
	catalog  *catalog
	registry Registry
	client   *kgo.Client
	metrics  *metrics
	// onStop is told of each table that stops.
	onStop func(*TableError)

	stoppers map[string]*stopper // by topic, for as long as the session lasts
	topics   map[string]bool     // that are there
	known    map[string]*table   // by topic, the latest
	read     map[string]uint32   // by name: the id of the table whose rows were read
}

func newTables(s Source, c *catalog, r Registry, client *kgo.Client, m *metrics, onStop func(*TableError)) *tables {
	return &tables{source: s, catalog: c, registry: r, client: client, metrics: m, onStop: onStop,
		stoppers: map[string]*stopper{}, topics: map[string]bool{}, known: map[string]*table{}, read: map[string]uint32{}}
}

// describe returns the table of a relation. A table that cannot be written is
// returned stopped; an error is one that may pass.
func (ts *tables) describe(ctx context.Context, r *pgoutput.Relation) (*table, error) {
	topic := topicName(ts.source.TopicPrefix, r.Namespace, r.Name)
	last := ts.known[topic]
	same := last != nil && sameRelation(last.relation, r)
	if same && marksKey(r) {
		return last, nil
	}
	columns, err := ts.catalog.columns(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("describe table %s.%s: %w", r.Namespace, r.Name, err)
	}
	keys := make([]bool, len(columns))
	for i, c := range columns {
		keys[i] = c.Key
	}
	if same && slices.Equal(last.keys, keys) {
		return last, nil
	}
	t := &table{relation: r, keys: keys, name: r.Namespace + "." + r.Name, topic: topic, stopped: ts.stoppers[topic]}
	if t.stopped == nil {
		t.stopped = &stopper{}
		ts.stoppers[topic] = t.stopped
	}
	t.metrics = ts.metrics.table(ts.source.Name, t.name)
	t.rows, err = rowavro.NewTable(topic, rowavro.Source{
		Version: Version, Name: ts.source.TopicPrefix, Database: ts.source.Database, Schema: r.Namespace, Table: r.Name,
	}, columns)
	if err != nil {
		ts.stop(t, "", err)
	} else if err := ts.register(ctx, t); err != nil {
		return nil, err
	}
	if !t.stopped.set() && !ts.topics[topic] {
		if err := ensureTopic(ctx, ts.client, topic, t.rows.Keyless()); err != nil {
			return nil, err
		}
		ts.topics[topic] = true
	}
	t.read = ts.read[t.name] == r.ID
	ts.known[topic] = t
	return t, nil
}

// register registers the table's schemas. A refusal stops the table; a registry
// that does not answer is an error.
func (ts *tables) register(ctx context.Context, t *table) error {
	var ids [2]int
	for i, schema := range []string{t.rows.KeySchema(), t.rows.ValueSchema()} {
		if schema == "" {
			continue
		}
		subject := t.topic + [2]string{"-key", "-value"}[i]
		id, err := ts.registry.Register(ctx, subject, schema)
		if _, down := errors.AsType[*serde.UnavailableError](err); down || err != nil && ctx.Err() != nil {
			return fmt.Errorf("register subject %s: %w", subject, err)
		}
		if err != nil {
			ts.stop(t, subject, err)
			return nil
		}
		ids[i] = id
	}
	t.rows.SetIDs(ids[0], ids[1])
	return nil
}

// stop stops a table for good.
func (ts *tables) stop(t *table, subject string, cause error) {
	err := &TableError{Source: ts.source.Name, Table: t.name, Topic: t.topic, Subject: subject, Err: cause}
	if t.stopped.stop(err) {
		t.metrics.stopped.Set(1)
		ts.onStop(err)
	}
}

// sameRelation tells whether two descriptions give the same columns. The server
// repeats a relation often; only a change should cost a look-up.
func sameRelation(a, b *pgoutput.Relation) bool {
	return a.ID == b.ID && a.Namespace == b.Namespace && a.Name == b.Name && a.Identity == b.Identity && slices.Equal(a.Columns, b.Columns)
}
