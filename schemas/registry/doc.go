// Package registry is a schema registry: the REST API of Confluent Schema
// Registry for Avro, with its state in the compacted topic _schemas of whatever
// Kafka it is given.
//
//	s, err := registry.Open(ctx, registry.Config{Brokers: brokers})
//	...
//	err = s.Serve() // until s.Close()
//
// # State
//
// All state is in the topic, in the records that Confluent Schema Registry and
// Karapace write and read (record.go), and is rebuilt from it at the start. A
// change is decided on a state that has everything in the topic, written, and
// answered after it was read back (store.go). The state after reading the topic
// is the same before and after compaction (state.go), which takes care in three
// places (repair.go):
//
//   - An id is never given out twice. The highest one ever given out is saved
//     under the NOOP key, which other registries skip, before the last schema
//     that has it can disappear.
//   - Compaction goes by the bytes of a key. Keys are written in one form, and
//     a deletion covers every form in which others have written the key.
//   - Several instances may write to one topic. Each write says up to where its
//     writer had read; one that another write preceded is ignored by all of them
//     and decided anew, and what is left of it is covered by the next write. An
//     instance of another registry does not know this rule: let only one kind
//     write.
//
// # Answers
//
// Endpoints are in routes.go; paths, error codes, messages and shapes are those
// of Confluent 8. Differences:
//
//   - Avro is the only schema type. Others are refused with 42201: accepting
//     them without checking compatibility would be worse.
//   - A refused schema has error code 409, which all clients know, where
//     Confluent sends 40901 since 8.2 (Config.IncompatibleCode).
//   - Settings of a subject without a compatibility level take the level of the
//     next wider scope; Confluent takes its built-in default.
//   - Removing a version for good is refused while a soft-deleted schema refers
//     to it, as in Confluent's latest code but not in 8.1.
//   - Tags of schemas, exporters, associations and encryption keys are not
//     served: 404.
//
// Contexts are served, by prefix (:.team:subject) and by path
// (/contexts/.team/...). There is no authentication: the server listens on
// loopback unless told otherwise.
//
// The same port answers /metrics (Prometheus), /healthz (the process is up) and
// /readyz (Kafka answers and the state is being kept up to date).
package registry
