// Package debezium is the format of change events: Debezium's envelope, in
// Avro as Kafka Connect names it, so that sinks written for Debezium read
// Quokka's topics. Package cdc writes it, search-sync and notification read it.
//
// A writer describes a table and gets its schemas:
//
//	table := debezium.Table{
//		Topic: "cdc.order.public.customers",
//		Columns: []debezium.Column{
//			{Name: "customer_id", Type: debezium.Type{Kind: debezium.UUID}},
//			{Name: "name", Type: debezium.Type{Kind: debezium.Text}},
//			{Name: "updated_at", Type: debezium.Type{Kind: debezium.TimestampTZ}, Nullable: true},
//		},
//		Key: []string{"customer_id"},
//	}
//	value, err := table.ValueSchema() // register under <topic>-value
//	key, err := table.KeySchema()     // register under <topic>-key
//
// It then encodes Envelope.Record with the value schema, and for the key a map
// of the key columns with the key schema. The Kind constants say which Go value
// a column of theirs takes; the map's keys are Column.Field names.
//
// A reader decodes generically (serde.DecodeAny) and passes the result to
// DecodeEnvelope. A record without value is a tombstone, not an envelope.
//
// Not carried over from Debezium: column defaults (a default is the database's
// business and may be volatile), and its placeholder for values that PostgreSQL
// did not send; such columns are null and named in header pg.unavailable.
package debezium
