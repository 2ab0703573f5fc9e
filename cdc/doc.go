// Package cdc streams the tables of PostgreSQL databases to Kafka topics, one
// topic for each table and one record for each change of a row, by logical
// replication.
//
//	relay, err := cdc.New(cdc.Config{
//		PostgresURL: "postgres://user:password@host/", // a login with REPLICATION
//		Sources:     []cdc.Source{{Name: "order", Database: "quokka_order"}},
//		Brokers:     []string{"127.0.0.1:9092"},
//		RegistryURL: "http://127.0.0.1:8081",
//	})
//	...
//	err = relay.Run(ctx) // until ctx ends
//
// # What is written
//
// A table's topic is <prefix>.<schema>.<table>, the prefix by default
// cdc.<source>. The key is an Avro record of the primary key's columns, the value
// Debezium's envelope in Avro (package schemas/debezium), both under schemas
// derived from the table and registered as <topic>-key and <topic>-value. A
// delete is an envelope with op d and then a record without value. A change of
// the primary key is a delete of the old key and a create of the new one, each
// naming the other in header __debezium.newkey or __debezium.oldkey. TRUNCATE
// is an envelope with op t and an empty key in every partition.
//
// Every record says where it stands in the headers pg.commit_lsn and
// pg.tx_ordinal, decimal numbers: the end of its transaction's commit, and its
// number within the transaction, from 1. Rows of the initial snapshot have the
// snapshot's position and number 0. That pair orders the changes of a row, so a
// consumer that keeps the highest pair and drops what is not above it is right
// whatever is delivered again. The row's own log position, source.lsn in the
// envelope, does not order anything: transactions interleave in the log.
//
// A value that PostgreSQL did not send, because it is stored out of line and the
// update did not touch it, is null and its field is named in header
// pg.unavailable; with REPLICA IDENTITY FULL it is filled in. A value without a
// form in Avro, such as numeric NaN, is null and named in pg.unrepresentable.
//
// If the transaction began with the logical message that carries a W3C trace
// context (prefix quokka.trace), its records have the headers traceparent and
// tracestate, byte for byte.
//
// # What is promised
//
// No committed change is lost, and changes of one key stay in the order of
// their commits. After a crash or a lost connection the last changes are written
// again, with the same positions. A change that was rolled back is never written.
//
// This holds because of three rules. A position is stored, and confirmed to
// PostgreSQL, only after the broker acknowledged every record before it. The
// snapshot is the one that PostgreSQL exports for the slot, so that each commit
// is in the snapshot or in the stream. And the slot must be where the stored
// progress says: a slot that is missing, that moved, or that belongs to another
// server is refused (SlotError) instead of guessed around.
//
// Progress is kept on the Kafka cluster, in topic quokka.cdc.state, because it
// says what that cluster has. It holds for each slot the position and the tables
// whose rows have been read; a snapshot that was cut short is made again.
//
// # Who runs
//
// One instance streams from a slot; others wait for its lease, an advisory lock
// that ends with its connection, and take over. Sources are independent of each
// other, and within a source a table that cannot be written, because the
// registry refuses its schema or a value cannot be encoded, stops alone
// (TableError): the others go on, and the slot keeps what the stopped one has
// yet to see.
package cdc
