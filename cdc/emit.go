package cdc

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of the records.
const (
	// HeaderCommitLSN and HeaderOrdinal are a record's position.
	HeaderCommitLSN = "pg.commit_lsn"
	HeaderOrdinal   = "pg.tx_ordinal"
	// HeaderUnavailable names fields that PostgreSQL did not send,
	// HeaderUnrepresentable those whose value Avro cannot hold.
	HeaderUnavailable     = "pg.unavailable"
	HeaderUnrepresentable = "pg.unrepresentable"
	// HeaderNewKey is on the delete of a key that changed, HeaderOldKey on the
	// create.
	HeaderNewKey = "__debezium.newkey"
	HeaderOldKey = "__debezium.oldkey"
	// HeaderTraceparent and HeaderTracestate are the writer's trace context.
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

const (
	arenaSize  = 128 << 10
	slabSize   = 128
	maxHeaders = 8
)

// emitter makes records and hands them to the client. Keys, values and headers
// of many records share their memory; it is free when the last of them is
// acknowledged.
type emitter struct {
	ctx    context.Context // ends when records are not worth waiting for
	client *kgo.Client

	arena   []byte
	records []kgo.Record
	headers []kgo.RecordHeader
}

// keep copies bytes that a record will hold.
func (e *emitter) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	if len(b) > arenaSize/4 {
		return append(make([]byte, 0, len(b)), b...)
	}
	if cap(e.arena)-len(e.arena) < len(b) {
		e.arena = make([]byte, 0, arenaSize)
	}
	start := len(e.arena)
	e.arena = append(e.arena, b...)
	return e.arena[start:len(e.arena):len(e.arena)]
}

// number keeps a decimal number.
func (e *emitter) number(n uint64) []byte {
	var scratch [20]byte
	return e.keep(strconv.AppendUint(scratch[:0], n, 10))
}

// record returns a record to fill, with room for headers.
func (e *emitter) record() *kgo.Record {
	if len(e.records) == 0 {
		e.records = make([]kgo.Record, slabSize)
	}
	r := &e.records[0]
	e.records = e.records[1:]
	if len(e.headers) < maxHeaders {
		e.headers = make([]kgo.RecordHeader, slabSize*3)
	}
	r.Headers = e.headers[:0:maxHeaders]
	return r
}

// send sends a record made by record. Its promise is called when the broker has
// it, or never will.
func (e *emitter) send(r *kgo.Record, at time.Time, promise func(*kgo.Record, error)) {
	e.headers = e.headers[len(r.Headers):]
	r.Headers = r.Headers[:len(r.Headers):len(r.Headers)]
	r.Timestamp = at
	e.client.Produce(e.ctx, r, promise)
}
