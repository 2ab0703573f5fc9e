package commitlog

import (
	"errors"
	"io"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// scan reads whole batches from a file and verifies their CRC.
type scan struct {
	f         fsys.File
	pos, size int64
	buf       []byte
	at, n     int // buf[at:n] is unread
}

const scanChunk = 1 << 20

// next returns the next whole batch; ok is false at the end, or at bytes that are
// no whole batch. The batch holds until the next call.
func (s *scan) next() (b []byte, info record.Info, ok bool, err error) {
	if err := s.want(record.HeaderSize); err != nil || s.n-s.at < record.HeaderSize {
		return nil, info, false, err
	}
	size := record.SizeOf(s.buf[s.at:s.n])
	if size == 0 || int64(size) > s.size-s.pos {
		return nil, info, false, nil
	}
	if err := s.want(size); err != nil {
		return nil, info, false, err
	}
	b = s.buf[s.at : s.at+size]
	info, perr := record.ParseHeader(b)
	if perr != nil || info.Codec() > record.Zstd || !record.CheckCRC(b) {
		return nil, info, false, nil //nolint:nilerr // a batch that is not whole ends the scan, it does not fail it
	}
	if info.Control() {
		if _, _, perr = record.ParseMarker(b); perr != nil {
			return nil, info, false, nil //nolint:nilerr // as above
		}
	}
	s.at += size
	s.pos += int64(size)
	return b, info, true, nil
}

// want makes n unread bytes available, or as many as there are.
func (s *scan) want(n int) error {
	if s.n-s.at >= n || int64(s.n-s.at) >= s.size-s.pos {
		return nil
	}
	if need := max(n, int(min(scanChunk, s.size-s.pos))); cap(s.buf) < need {
		grown := make([]byte, need)
		copy(grown, s.buf[s.at:s.n])
		s.buf, s.n, s.at = grown, s.n-s.at, 0
	} else {
		s.n = copy(s.buf[:cap(s.buf)], s.buf[s.at:s.n])
		s.at, s.buf = 0, s.buf[:cap(s.buf)]
	}
	m := int(min(int64(len(s.buf)-s.n), s.size-s.pos-int64(s.n)))
	got, err := s.f.ReadAt(s.buf[s.n:s.n+m], s.pos+int64(s.n))
	s.n += got
	if err != nil && (!errors.Is(err, io.EOF) || got < m) {
		return err
	}
	return nil
}
