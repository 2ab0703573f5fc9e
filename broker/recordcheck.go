package broker

import (
	"context"
	"iter"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// RecordCheck decides which records a topic takes from producers, beyond what
// Kafka's own rules say: schema-id validation is one.
//
// CheckRecords is called with each batch of a produce request before it gets its
// place in the log, outside every lock, and may be called by many connections at
// once. It may wait: the connection's next request begins when it has returned, and
// ctx ends with the request's timeout. The records that it names are refused, and
// with them, as a batch is taken or refused as a whole, those beside them: the
// answer is INVALID_RECORD with the index and the message of each (KIP-467), which
// producers report for these records and do not send again.
//
// An error says that the check could not be made; the batch is answered with
// REQUEST_TIMED_OUT, after which producers send it again.
//
// Internal topics and _schemas, on which a registry keeps its schemas, are not
// checked.
type RecordCheck interface {
	CheckRecords(ctx context.Context, b *RecordBatch) ([]RecordError, error)
}

// RecordBatch is one partition's batch in a produce request.
type RecordBatch struct {
	Topic     string
	Partition int32
	Principal string // who sends it, as in access rules: "User:alice"
	ClientID  string // as the client calls itself
	// Config returns the topic's value of a setting, whether it was set or is the
	// default; "" for one that does not exist.
	Config func(name string) string
	// Records ranges over the records by their index in the batch. Only then is
	// the batch read, and decompressed. What it yields holds until the check returns.
	Records iter.Seq2[int, Record]
}

// Record is one record as its producer sent it. A nil key or value is null.
type Record struct {
	TimestampMillis int64
	Key, Value      []byte
	Headers         []RecordHeader
}

// RecordHeader is a header of a record.
type RecordHeader struct {
	Key   string
	Value []byte
}

// RecordError says what is wrong with one record of a batch.
type RecordError struct {
	Index   int
	Message string // for the producer's log
}

// recordCheck is Config.RecordCheck as the handlers call it.
func (b *Broker) recordCheck() api.RecordCheck {
	check := b.cfg.RecordCheck
	if check == nil {
		return nil
	}
	return func(ctx context.Context, in *api.CheckedBatch) ([]record.Fault, error) {
		bad, err := check.CheckRecords(ctx, &RecordBatch{
			Topic: in.Topic, Partition: in.Partition, Principal: in.Principal, ClientID: in.ClientID, Config: in.Config,
			Records: func(yield func(int, Record) bool) {
				for i, r := range in.Records {
					out := Record{TimestampMillis: r.Timestamp, Key: r.Key, Value: r.Value}
					for _, h := range r.Headers {
						out.Headers = append(out.Headers, RecordHeader(h))
					}
					if !yield(i, out) {
						return
					}
				}
			},
		})
		faults := make([]record.Fault, len(bad))
		for i, e := range bad {
			faults[i] = record.Fault{Index: int32(e.Index), Msg: e.Message}
		}
		return faults, err
	}
}
