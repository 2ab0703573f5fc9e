package record

import (
	"errors"
	"io"
)

// Record is one record of a batch. Nil keys and values are null.
type Record struct {
	Offset    int64
	Timestamp int64 // milliseconds
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Header is a header of a record. A nil value is null.
type Header struct {
	Key   string
	Value []byte
}

// Reader iterates over the records of batches. What it returns aliases the batch,
// or the reader's buffer when the batch is compressed, and holds until the next
// Reset. The zero value is ready.
type Reader struct {
	info     Info
	body     []byte
	buf      []byte
	left     int32
	stampAll bool
	err      error
}

// Reset begins reading batch b, which is one whole batch, decompressing at most
// bound bytes (0 = MaxDecompressed). The CRC is not checked again.
func (r *Reader) Reset(b []byte, bound int64) error {
	info, err := parseWhole(b)
	if err != nil {
		*r = Reader{buf: r.buf, err: err}
		return err
	}
	*r = Reader{info: info, body: b[HeaderSize:info.Size], buf: r.buf, left: info.Count, stampAll: info.LogAppendTime()}
	if info.Codec() != None {
		if r.buf, err = decompress(r.buf[:0], info.Codec(), r.body, bound); err != nil {
			r.err, r.left = err, 0
			return err
		}
		r.body = r.buf
	}
	return nil
}

// parseWhole is ParseHeader of a batch that has to be there to its end.
func parseWhole(b []byte) (Info, error) {
	info, err := ParseHeader(b)
	if err == nil && info.Size > len(b) {
		err = Errorf(CodeCorruptMessage, "batch claims %d bytes, %d are there", info.Size, len(b))
	}
	return info, err
}

// decompress appends the decompressed records to dst.
func decompress(dst []byte, codec Codec, src []byte, bound int64) ([]byte, error) {
	if bound <= 0 {
		bound = MaxDecompressed
	}
	d, err := newDecoder(codec, src, bound)
	if err != nil {
		return dst, err
	}
	defer d.close()
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, make([]byte, max(4096, len(dst)))...)[:len(dst)]
		}
		n, err := d.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return dst, nil
		default:
			var known *Error
			if errors.As(err, &known) {
				return dst, known
			}
			return dst, Errorf(CodeCorruptMessage, "records cannot be decompressed: %v", err)
		}
	}
}

// Info is the header of the batch being read.
func (r *Reader) Info() *Info { return &r.info }

// Err is why Next ended early, if it did.
func (r *Reader) Err() error { return r.err }

// Next reads the next record into rec, reusing its Headers slice.
func (r *Reader) Next(rec *Record) bool {
	if r.left <= 0 || r.err != nil {
		return false
	}
	r.left--
	f := fields{b: r.body}
	n := f.varint()
	if f.bad || n < 0 || n > int64(len(f.b)) {
		return r.fail()
	}
	r.body = f.b[n:]
	f.b = f.b[:n]
	f.bytes(1)
	rec.Timestamp = r.info.BaseTimestamp + f.varint()
	if r.stampAll {
		rec.Timestamp = r.info.MaxTimestamp
	}
	rec.Offset = r.info.BaseOffset + f.varint()
	rec.Key = f.nullable()
	rec.Value = f.nullable()
	rec.Headers = rec.Headers[:0]
	headers := f.varint()
	if f.bad || headers < 0 || headers > int64(len(f.b)) {
		return r.fail()
	}
	for range headers {
		h := Header{Key: string(f.bytes(f.varint()))}
		h.Value = f.nullable()
		if f.bad {
			return r.fail()
		}
		rec.Headers = append(rec.Headers, h)
	}
	if f.bad || len(f.b) != 0 {
		return r.fail()
	}
	return true
}

func (r *Reader) fail() bool {
	r.err = Errorf(CodeCorruptMessage, "record %d of the batch at offset %d is damaged", r.info.Count-r.left-1, r.info.BaseOffset)
	return false
}

// fields reads the fields of one record; bad is sticky.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) varint() int64 {
	var u uint64
	for i, c := range f.b {
		if i == 10 {
			break
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.b = f.b[i+1:]
			return int64(u>>1) ^ -int64(u&1)
		}
	}
	f.bad, f.b = true, nil
	return 0
}

func (f *fields) bytes(n int64) []byte {
	if n < 0 || n > int64(len(f.b)) {
		f.bad, f.b = true, nil
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) nullable() []byte {
	n := f.varint()
	if n == -1 {
		return nil
	}
	v := f.bytes(n)
	if v == nil && !f.bad {
		v = []byte{}
	}
	return v
}

// Each calls fn with every whole batch in b, in order, until fn returns false. It
// stops silently at a cut or impossible batch and returns how many bytes were
// whole batches.
func Each(b []byte, fn func(batch []byte) bool) int {
	pos := 0
	for {
		n := SizeOf(b[pos:])
		if n == 0 || n > len(b)-pos {
			return pos
		}
		if !fn(b[pos : pos+n]) {
			return pos
		}
		pos += n
	}
}
