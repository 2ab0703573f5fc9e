package record

import (
	"errors"
	"io"
	"math"
	"sync"
)

// scanner reads record fields from a batch, decompressing through a fixed window,
// so that walking a batch costs the same memory whatever it decompresses to.
type scanner struct {
	buf    []byte // window: the batch's own bytes, or the decompressed chunk
	pos    int
	limit  int64 // bytes of the current record still unread
	src    io.Reader
	dec    *decoder
	window *[]byte
	err    error // why src gave no more
}

const windowSize = 32 << 10

var windows = sync.Pool{New: func() any { b := make([]byte, windowSize); return &b }}

// open begins scanning the records of batch b.
func (s *scanner) open(b []byte, info *Info, maxDecompressed int64) error {
	s.limit = math.MaxInt64
	if info.Codec() == None {
		s.buf = b[HeaderSize:]
		return nil
	}
	if maxDecompressed <= 0 {
		maxDecompressed = MaxDecompressed
	}
	dec, err := newDecoder(info.Codec(), b[HeaderSize:], maxDecompressed)
	if err != nil {
		return err
	}
	s.dec, s.src = dec, dec
	s.window = windows.Get().(*[]byte)
	return nil
}

func (s *scanner) close() {
	if s.dec != nil {
		s.dec.close()
	}
	if s.window != nil {
		windows.Put(s.window)
		s.buf, s.window = nil, nil
	}
}

// fill makes at least one more byte available behind those unread, if there is any.
func (s *scanner) fill() bool {
	if s.src == nil || s.err != nil {
		return false
	}
	w := *s.window
	n := copy(w, s.buf[s.pos:])
	for {
		m, err := s.src.Read(w[n:])
		s.buf, s.pos = w[:n+m], 0
		if err != nil {
			s.err = err
		}
		if m > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// begin starts a record of n bytes; the varint that gave n is not part of it.
func (s *scanner) begin(n int64) { s.limit = n }

// done ends a record and tells whether its fields took exactly its length.
func (s *scanner) done() bool {
	ok := s.limit == 0
	s.limit = math.MaxInt64
	return ok
}

// varint reads a zigzag varint of up to ten bytes.
func (s *scanner) varint() (int64, bool) {
	if s.pos < len(s.buf) && s.buf[s.pos] < 0x80 && s.limit > 0 { // most of them
		u := s.buf[s.pos]
		s.pos++
		s.limit--
		return int64(u>>1) ^ -int64(u&1), true
	}
	var u uint64
	for shift := uint(0); shift < 70; shift += 7 {
		if s.pos == len(s.buf) && !s.fill() {
			return 0, false
		}
		if s.limit <= 0 {
			return 0, false
		}
		c := s.buf[s.pos]
		s.pos++
		s.limit--
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), true
		}
	}
	return 0, false
}

// recordHead reads the beginning of the i-th record: its length, and its timestamp and
// offset, which count from the batch's.
func (s *scanner) recordHead(i int32) (length, since, delta int64, err error) {
	length, ok := s.varint()
	if !ok || length < 0 || length > math.MaxInt32 {
		return 0, 0, 0, s.corrupt(i, "length")
	}
	s.begin(length)
	if !s.skip(1) { // attributes, unused
		return 0, 0, 0, s.corrupt(i, "attributes")
	}
	if since, ok = s.varint(); !ok {
		return 0, 0, 0, s.corrupt(i, "timestamp")
	}
	if delta, ok = s.varint(); !ok {
		return 0, 0, 0, s.corrupt(i, "offset delta")
	}
	return length, since, delta, nil
}

// skip passes n bytes over.
func (s *scanner) skip(n int64) bool {
	if n > s.limit {
		return false
	}
	s.limit -= n
	for n > int64(len(s.buf)-s.pos) {
		n -= int64(len(s.buf) - s.pos)
		s.pos = len(s.buf)
		if !s.fill() {
			return false
		}
	}
	s.pos += int(n)
	return true
}

// end checks that nothing follows the last record.
func (s *scanner) end() error {
	if s.pos < len(s.buf) || s.fill() {
		return Errorf(CodeInvalidRecord, "batch has bytes after its last record")
	}
	return s.failed()
}

// failed is the decompressor's error, as a Kafka error.
func (s *scanner) failed() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	var known *Error
	if errors.As(s.err, &known) {
		return known
	}
	return Errorf(CodeCorruptMessage, "records cannot be decompressed: %v", s.err)
}

func (s *scanner) corrupt(i int32, field string) error {
	if err := s.failed(); err != nil {
		return err
	}
	return Errorf(CodeInvalidRecord, "record %d: its %s does not fit the batch", i, field)
}
