package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is the error of every decoder here: the bytes are no message of
// the version they claim to be.
var ErrMalformed = errors.New("malformed message")

// maxTags bounds the tagged fields of one section. Kafka defines fewer than ten
// for any message; a count is checked before anything is done about it.
const maxTags = 64

// ErrTags is the ErrMalformed of a section with more tagged fields than that.
var ErrTags = fmt.Errorf("%w: more than %d tagged fields in one place", ErrMalformed, maxTags)

// Reader reads Kafka's primitive types. After the first read past the end, or of
// an impossible length, it is bad: every later read returns zero values, so a
// decoder checks once at the end. Nothing it returns is copied.
type Reader struct {
	src  []byte
	bad  bool
	tags bool // it is bad for too many tagged fields
}

// NewReader returns a reader of src.
func NewReader(src []byte) Reader { return Reader{src: src} }

// Ok says whether every read so far was within the source.
func (r *Reader) Ok() bool { return !r.bad }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.src) }

// Err is ErrMalformed after a bad read.
func (r *Reader) Err() error {
	if r.tags {
		return ErrTags
	}
	if r.bad {
		return ErrMalformed
	}
	return nil
}

func (r *Reader) fail() {
	r.bad, r.src = true, nil
}

// Span returns the next n bytes.
func (r *Reader) Span(n int) []byte {
	if n < 0 || n > len(r.src) {
		r.fail()
		return nil
	}
	s := r.src[:n:n]
	r.src = r.src[n:]
	return s
}

// Int8 reads one byte.
func (r *Reader) Int8() int8 {
	if len(r.src) < 1 {
		r.fail()
		return 0
	}
	v := r.src[0]
	r.src = r.src[1:]
	return int8(v)
}

// Int16 reads a big-endian 16-bit integer.
func (r *Reader) Int16() int16 {
	if len(r.src) < 2 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint16(r.src)
	r.src = r.src[2:]
	return int16(v)
}

// Int32 reads a big-endian 32-bit integer.
func (r *Reader) Int32() int32 {
	if len(r.src) < 4 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(r.src)
	r.src = r.src[4:]
	return int32(v)
}

// Int64 reads a big-endian 64-bit integer.
func (r *Reader) Int64() int64 {
	if len(r.src) < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.src)
	r.src = r.src[8:]
	return int64(v)
}

// UUID reads 16 bytes.
func (r *Reader) UUID() (id [16]byte) {
	copy(id[:], r.Span(16))
	return id
}

// Uvarint reads an unsigned varint of at most 32 bits.
func (r *Reader) Uvarint() uint32 {
	var v uint64
	for i := range r.src {
		if i == 5 {
			break
		}
		b := r.src[i]
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if v > 1<<32-1 {
				break
			}
			r.src = r.src[i+1:]
			return uint32(v)
		}
	}
	r.fail()
	return 0
}

// length reads the length of a string or byte field: -1 is null.
func (r *Reader) length(flexible bool, wide bool) int {
	switch {
	case flexible:
		return int(r.Uvarint()) - 1
	case wide:
		return int(r.Int32())
	default:
		return int(r.Int16())
	}
}

// StringBytes reads a string that may not be null, without copying it.
func (r *Reader) StringBytes(flexible bool) []byte {
	return r.Span(r.length(flexible, false))
}

// String reads a string that may not be null.
func (r *Reader) String(flexible bool) string {
	return string(r.StringBytes(flexible))
}

// NullableString reads a string that may be null.
func (r *Reader) NullableString(flexible bool) *string {
	n := r.length(flexible, false)
	if n == -1 {
		return nil
	}
	s := string(r.Span(n))
	return &s
}

// NullableBytes reads a byte field that may be null, without copying it.
func (r *Reader) NullableBytes(flexible bool) []byte {
	n := r.length(flexible, true)
	if n == -1 {
		return nil
	}
	return r.Span(n)
}

// ArrayLen reads the length of an array whose elements take at least min bytes
// each; a count that the rest of the message cannot hold is malformed. A null
// array reads as -1.
func (r *Reader) ArrayLen(flexible bool, minSize int) int {
	n := r.length(flexible, true)
	if n < -1 || (n > 0 && n > len(r.src)/minSize) {
		r.fail()
		return 0
	}
	return n
}

// Tags reads a section of tagged fields and gives each to field, which may be nil.
func (r *Reader) Tags(field func(tag uint32, value Reader) error) error {
	n := r.Uvarint()
	if n > maxTags {
		r.fail()
		r.tags = true
		return ErrTags
	}
	for range n {
		tag, size := r.Uvarint(), r.Uvarint()
		value := r.Span(int(size))
		if r.bad {
			return ErrMalformed
		}
		if field != nil {
			if err := field(tag, Reader{src: value}); err != nil {
				return err
			}
		}
	}
	return r.Err()
}

// SkipTags reads over a section of tagged fields where the version has them.
func (r *Reader) SkipTags(flexible bool) {
	if flexible {
		_ = r.Tags(nil) // a bad section leaves the reader bad
	}
}
