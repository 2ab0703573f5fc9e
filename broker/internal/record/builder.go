package record

import (
	"encoding/binary"
	"math"
)

// Builder builds batches: coordinators write their records with it, and tests.
// The zero value builds an uncompressed batch without a producer.
//
//	b := record.NewBuilder(record.Options{})
//	b.Add(record.Record{Timestamp: now, Key: k, Value: v})
//	p.Append(b.Batch(), partition.Coordinator)
type Builder struct {
	opts    Options
	body    []byte
	count   int32
	base    int64
	max     int64
	lastOff int32
}

// Options are the header fields of a batch to build.
type Options struct {
	Codec         Codec
	Idempotent    bool // ProducerID, ProducerEpoch and BaseSequence are set
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
	BaseOffset    int64
	LeaderEpoch   int32
}

// NewBuilder returns a builder of one batch.
func NewBuilder(o Options) *Builder { return &Builder{opts: o} }

// Reset begins a new batch, keeping the buffer.
func (b *Builder) Reset(o Options) {
	*b = Builder{opts: o, body: b.body[:0]}
}

// Add appends a record. Its Offset is ignored: records take consecutive ones.
func (b *Builder) Add(r Record) { b.AddAt(b.count, r) }

// AddAt appends a record at an offset delta above those before it (compaction
// leaves gaps).
func (b *Builder) AddAt(delta int32, r Record) {
	base := b.base
	if b.count == 0 {
		base = r.Timestamp
	}
	b.add(base, delta, r)
}

// add appends a record whose timestamp is stored relative to base.
func (b *Builder) add(base int64, delta int32, r Record) {
	if b.count == 0 {
		b.base, b.max = base, r.Timestamp
	}
	b.max = max(b.max, r.Timestamp)
	b.count++
	b.lastOff = delta
	size := 1 + varintLen(r.Timestamp-b.base) + varintLen(int64(delta)) + nullableLen(r.Key) + nullableLen(r.Value) + varintLen(int64(len(r.Headers)))
	for i := range r.Headers {
		size += varintLen(int64(len(r.Headers[i].Key))) + len(r.Headers[i].Key) + nullableLen(r.Headers[i].Value)
	}
	p := binary.AppendVarint(b.body, int64(size))
	p = append(p, 0)
	p = binary.AppendVarint(p, r.Timestamp-b.base)
	p = binary.AppendVarint(p, int64(delta))
	p = appendNullable(p, r.Key)
	p = appendNullable(p, r.Value)
	p = binary.AppendVarint(p, int64(len(r.Headers)))
	for i := range r.Headers {
		p = binary.AppendVarint(p, int64(len(r.Headers[i].Key)))
		p = append(p, r.Headers[i].Key...)
		p = appendNullable(p, r.Headers[i].Value)
	}
	b.body = p
}

// Count is the number of records added.
func (b *Builder) Count() int { return int(b.count) }

// Size is about the size of the batch before compression.
func (b *Builder) Size() int { return HeaderSize + len(b.body) }

// Batch returns the finished batch in a slice of its own.
func (b *Builder) Batch() []byte { return b.AppendBatch(nil) }

// AppendBatch appends the finished batch to dst. It is one batch however dst ends.
func (b *Builder) AppendBatch(dst []byte) []byte {
	return b.appendBatch(dst, b.lastOff)
}

func (b *Builder) appendBatch(dst []byte, lastDelta int32) []byte {
	start := len(dst)
	if dst == nil {
		dst = make([]byte, 0, HeaderSize+len(b.body))
	}
	dst = append(dst, make([]byte, HeaderSize)...)
	dst = compress(dst, b.opts.Codec, b.body)
	h := dst[start:]
	be := binary.BigEndian
	Stamp(h, b.opts.BaseOffset, b.opts.LeaderEpoch)
	be.PutUint32(h[offLength:], uint32(len(h)-PrefixSize))
	h[offMagic] = 2
	attr := uint16(b.opts.Codec)
	if b.opts.Transactional {
		attr |= attrTransactional
	}
	if b.opts.Control {
		attr |= attrControl
	}
	be.PutUint16(h[offAttributes:], attr)
	be.PutUint32(h[offLastDelta:], uint32(lastDelta))
	be.PutUint64(h[offBaseTime:], uint64(b.base))
	be.PutUint64(h[offMaxTime:], uint64(b.max))
	pid, epoch, seq := int64(-1), int16(-1), int32(-1)
	if b.opts.Idempotent {
		pid, epoch, seq = b.opts.ProducerID, b.opts.ProducerEpoch, b.opts.BaseSequence
	}
	be.PutUint64(h[offProducerID:], uint64(pid))
	be.PutUint16(h[offProducerEp:], uint16(epoch))
	be.PutUint32(h[offBaseSequence:], uint32(seq))
	be.PutUint32(h[offCount:], uint32(b.count))
	sign(h)
	return dst
}

func varintLen(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

func nullableLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func appendNullable(p, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(p, -1)
	}
	if len(b) > math.MaxInt32 {
		panic("record: field larger than a batch can hold")
	}
	p = binary.AppendVarint(p, int64(len(b)))
	return append(p, b...)
}
