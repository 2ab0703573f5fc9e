package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// growFrom bounds what a frame gets before its bytes have come: a claim costs its
// sender the bytes, not us the memory.
const growFrom = 256 << 10

// ReadFrame reads the next frame, without its size. It returns io.EOF when the
// connection ended between frames.
func ReadFrame(r *bufio.Reader, limits Limits, authenticated bool) ([]byte, error) {
	head, err := r.Peek(6)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
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
		return nil, fmt.Errorf("%w: a frame of %d bytes", ErrMalformed, size)
	}
	if size > int64(limit) {
		return nil, &FrameError{Key: key, Size: size, Limit: int64(limit)}
	}
	if _, err := r.Discard(4); err != nil {
		return nil, err
	}
	// A buffer that is there already costs nothing; a new one grows with what comes.
	frame := tryGetBuffer(int(size))
	if frame == nil {
		frame = GetBuffer(int(min(size, growFrom)))
	}
	for read := 0; ; {
		n, err := io.ReadFull(r, frame[read:])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		read += n
		if int64(read) == size {
			return frame, nil
		}
		grown := GetBuffer(int(min(size, int64(read)*4)))
		copy(grown, frame)
		PutBuffer(frame)
		frame = grown
	}
}
