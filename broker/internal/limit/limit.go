// Package limit names the broker's limits and counts how often each was reached.
// docs/broker.md has what they are; a test holds its table against the names here.
package limit

import "sync/atomic"

// Limit is one of the broker's limits.
type Limit uint8

// The limits.
const (
	LoginFrame      Limit = iota // a frame before authentication was too large
	ProduceFrame                 // a Produce request was too large
	RequestFrame                 // another request was too large
	DecodeMemory                 // a request waited for memory to be decoded in
	ProduceMemory                // a Produce request waited for memory to come in
	CheckMemory                  // a batch waited for memory to be checked in
	Decompressed                 // a batch decompressed to too much
	BatchBytes                   // a batch was larger than max.message.bytes
	Queued                       // a connection waited, too many of its answers being under way
	Idle                         // a connection ended that sent nothing, or with others waiting for it too little, for too long
	Login                        // a connection ended that did not authenticate in time
	Write                        // a connection ended whose client did not take an answer
	Partitions                   // a topic was refused partitions, the broker having too many
	TopicPartitions              // a topic was refused partitions, asking for too many
	GroupSize                    // a member was refused, its group having too many
	GroupMetadata                // a group's state was too large to be kept
	OffsetMetadata               // an offset was refused, its metadata being too large
	GroupID                      // a group's or member's id, or expression, was too long
	FetchBytes                   // a partition waits for the next answer, this one being full
	FetchSessions                // a client goes on without a session, or an idle one lost its own
	TxnTimeout                   // a producer asked for too long a transaction timeout
	ConnectionRate               // a new connection waited, too many having come within a second
	FailedLogin                  // the answer to a failed authentication waited
	TopicName                    // a topic's name was too long
	Tags                         // a request had too many tagged fields in one place
	ProduceParts                 // a Produce request named too many topics and partitions
	count
)

var names = [count]string{
	LoginFrame: "login_frame", ProduceFrame: "produce_frame", RequestFrame: "request_frame", DecodeMemory: "decode_memory",
	ProduceMemory: "produce_memory", CheckMemory: "check_memory",
	Decompressed: "decompressed", BatchBytes: "batch_bytes", Queued: "queued",
	Idle: "idle", Login: "login", Write: "write", Partitions: "partitions", TopicPartitions: "topic_partitions",
	GroupSize: "group_size", GroupMetadata: "group_metadata", OffsetMetadata: "offset_metadata", GroupID: "group_id", FetchBytes: "fetch_bytes",
	FetchSessions: "fetch_sessions", TxnTimeout: "txn_timeout",
	ConnectionRate: "connection_rate", FailedLogin: "failed_login", TopicName: "topic_name", Tags: "tags", ProduceParts: "produce_parts",
}

// String is the limit's name in metrics.
func (l Limit) String() string { return names[l] }

// Hits counts how often limits were reached. The zero value is ready.
type Hits struct {
	n [count]atomic.Int64
}

// Hit counts that a limit was reached.
func (h *Hits) Hit(l Limit) { h.n[l].Add(1) }

// Each calls f with every limit.
func (h *Hits) Each(f func(l Limit, hits int64)) {
	for l := range h.n {
		f(Limit(l), h.n[l].Load())
	}
}
