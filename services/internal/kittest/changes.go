package kittest

import (
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
)

// Changes writes change records of one table as cdc does.
type Changes struct {
	t          testing.TB
	platform   *Platform
	client     *kgo.Client
	table      debezium.Table
	key, value *codec.Schema
	ids        [2]int
}

// NewChanges registers the table's schemas, as cdc does for a table it captures.
func NewChanges(t testing.TB, p *Platform, table debezium.Table) *Changes {
	t.Helper()
	c := &Changes{t: t, platform: p, client: Client(t, p.Config.KafkaBrokers), table: table}
	var err error
	if c.key, err = table.KeySchema(); err != nil {
		t.Fatal(err)
	}
	if c.value, err = table.ValueSchema(); err != nil {
		t.Fatal(err)
	}
	for i, s := range []struct {
		subject string
		schema  *codec.Schema
	}{{table.Topic + "-key", c.key}, {table.Topic + "-value", c.value}} {
		if c.ids[i], err = p.Serde.Register(t.Context(), s.subject, s.schema.String()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Write writes one change at the given position. A delete is followed by its
// tombstone.
func (c *Changes) Write(lsn, ordinal uint64, op debezium.Op, row map[string]any) {
	c.t.Helper()
	change := debezium.Envelope{Op: op, After: row, At: time.Now(), Source: debezium.Source{At: time.Now(), LSN: lsn}}
	if op == debezium.Delete {
		change.Before, change.After = row, nil
	}
	value, err := c.platform.Serde.EncodeWith(c.ids[1], c.value, change.Record())
	if err != nil {
		c.t.Fatal(err)
	}
	records := []*kgo.Record{c.record(lsn, ordinal, row, value)}
	if op == debezium.Delete {
		records = append(records, c.record(lsn, ordinal, row, nil))
	}
	if err := c.client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *Changes) record(lsn, ordinal uint64, row map[string]any, value []byte) *kgo.Record {
	c.t.Helper()
	fields := map[string]any{}
	for _, name := range c.table.Key {
		fields[name] = row[name]
	}
	key, err := c.platform.Serde.EncodeWith(c.ids[0], c.key, fields)
	if err != nil {
		c.t.Fatal(err)
	}
	return &kgo.Record{Topic: c.table.Topic, Key: key, Value: value, Headers: []kgo.RecordHeader{
		{Key: "pg.commit_lsn", Value: strconv.AppendUint(nil, lsn, 10)},
		{Key: "pg.tx_ordinal", Value: strconv.AppendUint(nil, ordinal, 10)},
	}}
}

// Publish writes an event as a service's outbox does; id is its ce_id.
func (p *Platform) Publish(t testing.TB, client *kgo.Client, topic, key, id string, e events.Event) {
	t.Helper()
	value, err := p.Serde.Encode(t.Context(), topic, e)
	if err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: topic, Value: value, Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(id)}, {Key: "ce_type", Value: []byte(e.AvroName())},
	}}
	if key != "" {
		r.Key = []byte(key)
	}
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
