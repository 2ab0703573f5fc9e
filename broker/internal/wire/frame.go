package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Limits bounds the frames of one connection.
type Limits struct {
	// Unauthenticated bounds every frame until authentication is complete.
	Unauthenticated int
	// Produce bounds Produce requests, Other every other request.
	Produce, Other int
}

// ErrFrameTooLarge is in the error of a frame over its limit. It is told from the
// first six bytes, before anything is allocated for the rest.
var ErrFrameTooLarge = errors.New("frame too large")

// FrameError is the error of a frame over its limit; it is ErrFrameTooLarge.
type FrameError struct {
	Key         int16
	Size, Limit int64
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("%v: %d bytes for request key %d, the limit is %d", ErrFrameTooLarge, e.Size, e.Key, e.Limit)
}

// Unwrap returns ErrFrameTooLarge.
func (e *FrameError) Unwrap() error { return ErrFrameTooLarge }

// ReadRaw reads a frame that has no header, of at most limit bytes.
func ReadRaw(r *bufio.Reader, limit int) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	if size < 0 || size > int64(limit) {
		return nil, &FrameError{Key: KeySaslAuthenticate, Size: size, Limit: int64(limit)}
	}
	if _, err := r.Discard(4); err != nil {
		return nil, err
	}
	frame := make([]byte, size)
	_, err = io.ReadFull(r, frame)
	return frame, err
}

// AppendRaw appends a frame that has no header.
func AppendRaw(dst, b []byte) []byte {
	return append(appendInt32(dst, int32(len(b))), b...)
}

// minFrame is key, version and correlation id.
const minFrame = 8

// growFrom bounds what a frame gets before its bytes have come: a size costs its sender
// the bytes, not us the memory. Also what a client that others wait for has to send in one
// timeout.
const growFrom = 256 << 10

// partsFrom is how large a Produce frame has to be to be read part by part. A smaller
// one is still in the processor's cache when it is whole.
const partsFrom = 512 << 10

// partsHead is how much of such a frame is read at first.
const partsHead = 4 << 10

// freeFrame is the largest Produce frame of which nothing is claimed: how many such ones
// there may be is bounded by the connections, and they are not to wait for large ones.
const freeFrame = 64 << 10

// ReadFrame reads the next frame, without its size. It returns io.EOF when the
// connection ended between frames. What a Produce request takes is claimed. Of a large
// one without a transaction it returns the beginning only, and the rest, which is to be
// read before the next frame; else rest is nil.
func ReadFrame(r *bufio.Reader, limits Limits, authenticated bool, claim *Claim) (frame []byte, rest *Rest, err error) {
	head, err := r.Peek(6)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	key := int16(binary.BigEndian.Uint16(head[4:]))
	limit := limits.Other
	switch {
	case !authenticated:
		limit = limits.Unauthenticated
	case key == KeyProduce:
		limit = limits.Produce
	}
	if size < minFrame {
		return nil, nil, fmt.Errorf("%w: a frame of %d bytes", ErrMalformed, size)
	}
	if size > int64(limit) {
		return nil, nil, &FrameError{Key: key, Size: size, Limit: int64(limit)}
	}
	if _, err := r.Discard(4); err != nil {
		return nil, nil, err
	}
	rest = &Rest{r: r, left: int(size)}
	if authenticated && key == KeyProduce && size > freeFrame {
		rest.claim = claim
	}
	if authenticated && key == KeyProduce && size >= partsFrom {
		head, err := rest.fill(nil, partsHead)
		if err != nil {
			return nil, nil, err
		}
		if inParts(head) {
			return head, rest, nil
		}
		frame, err = rest.fill(head, int(size))
		rest.GiveBack(head) // it was copied
		return frame, nil, err
	}
	frame, err = rest.fill(nil, int(size))
	return frame, nil, err
}

// Rest is what has not been read yet of a frame.
type Rest struct {
	// Before, if it is set, is called before what may wait for the client.
	Before func() error

	r    *bufio.Reader
	left int
	got  int
	err  error
	came time.Time

	claim *Claim // what its buffers take
}

// GiveBack is PutBuffer of what the request has claimed.
func (r *Rest) GiveBack(b []byte) {
	PutBuffer(b)
	r.claim.shrink(cap(b))
}

// Len is how many bytes are left.
func (r *Rest) Len() int { return r.left }

// Came is when the last of it came.
func (r *Rest) Came() time.Time { return r.came }

// Err is why the connection gave no more, if it did not.
func (r *Rest) Err() error { return r.err }

// Discard reads over what is left.
func (r *Rest) Discard() error {
	for {
		piece := r.piece(r.left)
		if r.await(piece); r.err != nil {
			return r.err
		}
		n, err := r.r.Discard(piece)
		r.took(n, err)
		if r.err != nil || r.left == 0 {
			return r.err
		}
	}
}

// piece is how much of n bytes is read at once: less while others wait for the request, so
// that its client may be slow, but not silent for long.
func (r *Rest) piece(n int) int {
	if r.claim.IsBeyond() {
		return min(n, growFrom)
	}
	return n
}

// read fills b.
func (r *Rest) read(b []byte) error {
	for {
		piece := r.piece(len(b))
		if r.await(piece); r.err != nil {
			return r.err
		}
		n, err := io.ReadFull(r.r, b[:piece])
		r.took(n, err)
		if b = b[n:]; r.err != nil || len(b) == 0 {
			return r.err
		}
	}
}

// await calls Before, or else what renews the client's time, if n bytes are not there yet.
func (r *Rest) await(n int) {
	switch r.err = nil; {
	case n <= r.r.Buffered():
	case r.Before != nil:
		r.err = r.Before()
	case r.claim.IsBeyond():
		r.err = r.claim.renew()
	}
}

func (r *Rest) took(n int, err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	r.left, r.got, r.err = r.left-n, r.got+n, err
	if r.left == 0 && n > 0 {
		r.came = time.Now()
	}
}

// fill returns a buffer of size bytes: a copy of head and what comes behind it. It grows
// with what comes, up to four times at once, each time claimed before it is taken.
func (r *Rest) fill(head []byte, size int) ([]byte, error) {
	b, have, err := r.begin(head, size)
	if err != nil {
		return nil, err
	}
	for {
		if err := r.read(b[have:]); err != nil {
			return nil, err
		}
		if have = len(b); have == size {
			return b, nil
		}
		n := min(size, have*4)
		if r.err = r.claim.grow(room(n)); r.err != nil {
			return nil, r.err
		}
		grown := GetBuffer(n)
		copy(grown, b)
		r.GiveBack(b)
		b = grown
	}
}

// begin returns the buffer that fill begins with, claimed, and how much of it there is. It
// is as large as what the request has paid for, or one that is there already and no larger
// than four times that: what others have given back is not for who only says that much is to
// come.
//
// Up to growFrom bytes are claimed when they have come, more before it is taken: of what
// others wait for, nobody gets any for a mere promise. Until then a larger buffer is lent.
func (r *Rest) begin(head []byte, size int) (b []byte, have int, err error) {
	paid := max(growFrom, r.got)
	first := min(size, paid)
	if size <= 4*paid {
		b = tryGetBuffer(size)
	}
	if first > growFrom {
		n := first
		if b != nil {
			n = size
		}
		if r.err = r.claim.grow(room(n)); r.err != nil {
			return nil, 0, r.err
		}
		if b == nil {
			b = GetBuffer(n)
		}
		return b, copy(b, head), nil
	}
	if lent := cap(b); lent > growFrom {
		if r.claim.lend(lent) {
			defer r.claim.repay(lent)
		} else {
			PutBuffer(b)
			b = nil
		}
	}
	if b == nil {
		b = GetBuffer(first)
	}
	if err := r.read(b[copy(b, head):first]); err != nil {
		return nil, 0, err
	}
	r.err = r.claim.grow(cap(b))
	return b, first, r.err
}
