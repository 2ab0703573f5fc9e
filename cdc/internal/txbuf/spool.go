package txbuf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

const (
	smallChunk = 4 << 10
	largeChunk = 64 << 10
	// minSpill is the memory below which a transaction is not worth a file.
	minSpill = largeChunk
	// frameHeader is length and position of a message.
	frameHeader = 4 + 8
)

var (
	smallChunks = sync.Pool{New: func() any { return new([smallChunk]byte) }}
	largeChunks = sync.Pool{New: func() any { return new([largeChunk]byte) }}
)

// store is what the spools of an Assembler share.
type store struct {
	limit   int64
	used    atomic.Int64
	dir     string
	onSpill func(int64)
}

func (s *store) over() bool { return s.used.Load() > s.limit }

// spool keeps messages in order: first those in file, then those in chunks. A
// message lies in one chunk, behind its length and position.
type spool struct {
	store  *store
	chunks []chunk
	memory int64
	file   *os.File
	// named: the file could not be removed while open.
	named bool

	// reading
	in  *bufio.Reader
	buf []byte
	at  int // byte in chunks[0]
}

type chunk struct {
	b    []byte // what is used
	back any    // the array to give back to its pool, if it has one
}

func (s *spool) append(pos pgoutput.LSN, data []byte) error {
	need := frameHeader + len(data)
	if uint64(len(data)) > 1<<31 {
		return fmt.Errorf("%w: a message of %d bytes", ErrProtocol, len(data))
	}
	last := len(s.chunks) - 1
	if last < 0 || cap(s.chunks[last].b)-len(s.chunks[last].b) < need {
		s.grow(need)
		last = len(s.chunks) - 1
	}
	b := s.chunks[last].b
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	b = binary.BigEndian.AppendUint64(b, uint64(pos))
	s.chunks[last].b = append(b, data...)
	return nil
}

func (s *spool) grow(need int) {
	var c chunk
	switch {
	case need > largeChunk:
		c.b = make([]byte, 0, need)
	case need > smallChunk || len(s.chunks) > 0 || s.file != nil:
		a := largeChunks.Get().(*[largeChunk]byte)
		c = chunk{b: a[:0], back: a}
	default:
		a := smallChunks.Get().(*[smallChunk]byte)
		c = chunk{b: a[:0], back: a}
	}
	s.chunks = append(s.chunks, c)
	s.memory += int64(cap(c.b))
	s.store.used.Add(int64(cap(c.b)))
}

// free gives a chunk back.
func (s *spool) free(c chunk) {
	s.memory -= int64(cap(c.b))
	s.store.used.Add(-int64(cap(c.b)))
	switch a := c.back.(type) {
	case *[smallChunk]byte:
		smallChunks.Put(a)
	case *[largeChunk]byte:
		largeChunks.Put(a)
	}
}

// spill moves what is in memory to the end of the file. The file has no name,
// so that it is gone when the process is, however that ends.
func (s *spool) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.store.dir, "quokka-cdc-*.tx")
		if err != nil {
			return fmt.Errorf("spill a large transaction: %w; make room there or raise the memory limit", err)
		}
		s.file, s.named = f, os.Remove(f.Name()) != nil
	}
	for _, c := range s.chunks {
		if _, err := s.file.Write(c.b); err != nil {
			return fmt.Errorf("spill a large transaction: %w; make room there or raise the memory limit", err)
		}
		if s.store.onSpill != nil {
			s.store.onSpill(int64(len(c.b)))
		}
		s.free(c)
	}
	s.chunks = s.chunks[:0]
	return nil
}

// next returns the next message; io.EOF behind the last.
func (s *spool) next() (pgoutput.LSN, []byte, error) {
	if s.file != nil {
		pos, data, err := s.nextFromFile()
		if !errors.Is(err, io.EOF) {
			return pos, data, err
		}
		s.closeFile()
	}
	for len(s.chunks) > 0 {
		c := s.chunks[0]
		if s.at < len(c.b) {
			head := c.b[s.at:]
			n := int(binary.BigEndian.Uint32(head))
			pos := pgoutput.LSN(binary.BigEndian.Uint64(head[4:]))
			s.at += frameHeader + n
			return pos, head[frameHeader : frameHeader+n], nil
		}
		s.free(c)
		s.chunks, s.at = s.chunks[1:], 0
	}
	return 0, nil, io.EOF
}

func (s *spool) nextFromFile() (pgoutput.LSN, []byte, error) {
	if s.in == nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return 0, nil, err
		}
		s.in = bufio.NewReaderSize(s.file, 4*largeChunk)
	}
	var head [frameHeader]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, nil, err // io.EOF between messages
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(s.in, s.buf[:n]); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return pgoutput.LSN(binary.BigEndian.Uint64(head[4:])), s.buf[:n], nil
}

func (s *spool) closeFile() {
	s.file.Close()
	if s.named {
		os.Remove(s.file.Name())
	}
	s.file, s.in, s.buf = nil, nil, nil
}

func (s *spool) release() {
	for _, c := range s.chunks {
		s.free(c)
	}
	s.chunks, s.at = nil, 0
	if s.file != nil {
		s.closeFile()
	}
}
