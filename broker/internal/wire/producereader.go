package wire

import (
	"errors"
	"slices"
)

// ProduceReader decodes a Produce request, of version 3 to 13, while its frame comes in:
// a partition's records can be checked and written while the processor has them in
// its cache, which it no longer has when a busy client's frame of several megabytes is
// whole. What it refuses, ParseProduce refuses too, but that may be found out when other
// partitions' records have been taken. It also refuses a field that is not records and is
// longer than maxHead, which no name is.
type ProduceReader struct {
	rest    *Rest
	version int16
	head    []byte // was read, is not decoded yet
	buf     []byte // where it lies, once more was read
	left    produceParts
	topics  int // still to come
	parts   int // of the topic
}

// maxHead bounds what is kept to decode the fields that are not records.
const maxHead = 64 << 10

// smallestShared is the least that is worth one of the buffers that are used again, of
// which the smallest has four times this: a request may have very many small batches.
const smallestShared = 1 << (minClass - 2)

// inParts says whether the request that begins with frame can be read in parts. Those
// with a transaction cannot: the coordinator wants to know of all partitions at once.
func inParts(frame []byte) bool {
	req, err := ParseRequest(frame)
	if err != nil || req.Version < 3 || req.Version > 13 {
		return false
	}
	r := NewReader(req.Body)
	transactional := r.NullableString(req.Version >= 9) != nil
	return r.Ok() && !transactional
}

// NewProduceReader returns a reader of a request that has a Rest.
func NewProduceReader(q *Request) *ProduceReader {
	return &ProduceReader{rest: q.Rest, version: q.Version, head: q.Body, left: maxProduceParts}
}

func (p *ProduceReader) flexible() bool { return p.version >= 9 }

// Start decodes what comes before the topics; Topics stays empty.
func (p *ProduceReader) Start() (*ProduceRequest, error) {
	var req ProduceRequest
	err := p.fields(func(r *Reader) {
		req = ProduceRequest{TransactionalID: r.NullableString(p.flexible()), Acks: r.Int16(), TimeoutMillis: r.Int32()}
		p.topics = r.length(p.flexible(), true)
	})
	if err == nil {
		err = p.fits(p.topics)
	}
	return &req, err
}

// Topic returns the next topic; Partitions stays empty. ok is false when there is none.
func (p *ProduceReader) Topic() (t ProduceTopic, ok bool, err error) {
	if p.topics <= 0 {
		if err := p.fields(func(r *Reader) { r.SkipTags(p.flexible()) }); err != nil {
			return t, false, err
		}
		p.head = nil
		return t, false, p.rest.Discard() // what follows a request is nothing to us
	}
	p.topics--
	err = p.fields(func(r *Reader) {
		if p.version >= 13 {
			t.ID = r.UUID()
		} else {
			t.Name = r.String(p.flexible())
		}
		p.parts = r.length(p.flexible(), true)
	})
	if err == nil {
		err = p.fits(p.parts)
	}
	return t, err == nil, err
}

// Partition returns the next partition of the topic, its records in a buffer of its own,
// which is to be given to Rest.GiveBack. ok is false when there is none.
func (p *ProduceReader) Partition() (part ProducePartition, ok bool, err error) {
	if p.parts <= 0 {
		return part, false, p.fields(func(r *Reader) { r.SkipTags(p.flexible()) })
	}
	p.parts--
	size := -1
	if err := p.fields(func(r *Reader) { part.Index, size = r.Int32(), r.length(p.flexible(), true) }); err != nil {
		return part, false, err
	}
	if size < -1 || size > len(p.head)+p.rest.left {
		return part, false, ErrMalformed
	}
	if size >= 0 {
		head := p.head[:min(size, len(p.head))]
		if size < smallestShared {
			if p.rest.err = p.rest.claim.grow(size); p.rest.err != nil {
				return part, false, p.rest.err
			}
			part.Records = make([]byte, size)
			err = p.rest.read(part.Records[copy(part.Records, head):])
		} else {
			part.Records, err = p.rest.fill(head, size)
		}
		if err != nil {
			return part, false, err
		}
		p.head = p.head[len(head):]
	}
	err = p.fields(func(r *Reader) { r.SkipTags(p.flexible()) })
	return part, err == nil, err
}

// fits refuses an array whose elements the frame has no room for, and one too many.
func (p *ProduceReader) fits(n int) error {
	if n < -1 || n > len(p.head)+p.rest.left {
		return ErrMalformed
	}
	return p.left.take(n)
}

// fields decodes what comes next, and reads on until that is there.
func (p *ProduceReader) fields(decode func(*Reader)) error {
	for {
		r := NewReader(p.head)
		decode(&r)
		if r.Ok() {
			p.head = p.head[len(p.head)-r.Len():]
			return nil
		}
		// More than this would have to be copied to where the records go; less than what
		// is there, and a long field costs the square of its length.
		n := min(max(128, len(p.head)), p.rest.left)
		if err := r.Err(); n == 0 || len(p.head) > maxHead || errors.Is(err, ErrTags) {
			return err
		}
		had := append(p.buf[:0], p.head...)
		p.buf = slices.Grow(had, n)[:len(had)+n]
		if err := p.rest.read(p.buf[len(had):]); err != nil {
			return err
		}
		p.head = p.buf
	}
}
