package broker

import (
	"time"

	"github.com/quokka-stream/quokka/broker/internal/api"
)

// ProduceTrace tells Config.Trace what became of one partition's batch in a
// produce request.
type ProduceTrace struct {
	ClientID   string // as the client calls itself
	Topic      string // "" for a topic that does not exist
	Partition  int32
	BaseOffset int64 // of the first record; the others follow without a gap; -1 if it was refused
	Records    int
	Bytes      int   // of the batch as it was sent
	Acks       int16 // what the client waits for: 0, 1 or -1 (all)
	Duplicate  bool  // the batch was in the log already: the client sent it again
	ErrorCode  int16 // Kafka's error code, 0 for none
	// TraceParents are the headers traceparent (W3C Trace Context) of the records, in
	// their order, "" where a record has none. Nil: the records could not be read,
	// because they are damaged or too large when decompressed (4 MiB).
	TraceParents []string

	// When the request was there, the batch was in its file, on the disk, and
	// answered. Zero is what the answer did not wait for: Written with acks=0, Durable
	// with acks=1 and under flush policies that acknowledge what is only written.
	Received, Written, Durable, Answered time.Time
}

// trace is Config.Trace as the handlers call it.
func (b *Broker) trace() func(api.ProduceTrace) {
	if b.cfg.Trace == nil {
		return nil
	}
	return func(t api.ProduceTrace) { b.cfg.Trace(ProduceTrace(t)) }
}
