package record

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Recompress returns batch b, which passed Validate, with its records in another
// codec, in a slice of its own. The records go through in pieces: what it takes is
// the result, of at most maxBytes, whatever they decompress to.
func Recompress(b []byte, codec Codec, maxBytes int) ([]byte, error) {
	info, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	body := b[HeaderSize:info.Size]
	out := &bounded{b: append(make([]byte, 0, HeaderSize+min(len(body), maxBytes)), b[:HeaderSize]...), max: maxBytes}
	w := newEncoder(codec, out)
	if info.Codec() == None {
		_, err = w.Write(body)
	} else {
		err = decompressTo(w, info.Codec(), body)
	}
	err = errors.Join(err, w.Close())
	var coded *Error
	switch {
	case errors.As(err, &coded):
		return nil, coded
	case err != nil:
		return nil, Errorf(CodeCorruptMessage, "records cannot be compressed anew: %v", err)
	}
	binary.BigEndian.PutUint32(out.b[offLength:], uint32(len(out.b)-PrefixSize))
	out.b[offAttributes+1] = out.b[offAttributes+1]&^attrCodec | byte(codec)
	sign(out.b)
	return out.b, nil
}

// decompressTo writes decompressed records to w.
func decompressTo(w io.Writer, codec Codec, src []byte) error {
	d, err := newDecoder(codec, src, MaxDecompressed)
	if err != nil {
		return err
	}
	defer d.close()
	window := windows.Get().(*[]byte)
	defer windows.Put(window)
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{d}, *window)
	return err
}

// bounded collects what is written, up to a bound.
type bounded struct {
	b   []byte
	max int
}

func (w *bounded) Write(p []byte) (int, error) {
	if len(w.b)+len(p) > w.max {
		return 0, Errorf(CodeMessageTooLarge, "batch, compressed as its topic has it, is larger than max.message.bytes, %d", w.max)
	}
	if need := len(w.b) + len(p); need > cap(w.b) {
		w.b = slices.Grow(w.b, min(max(2*cap(w.b), need), w.max)-len(w.b))
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

var zstdWriters = sync.Pool{New: func() any {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // the options are constant
	}
	return w
}}

// newEncoder returns a writer that compresses into out and ends with its Close.
func newEncoder(codec Codec, out io.Writer) io.WriteCloser {
	switch codec {
	case Gzip:
		return gzip.NewWriter(out)
	case Snappy:
		return &xerialWriter{out: out}
	case LZ4:
		return lz4.NewWriter(out)
	case Zstd:
		w := zstdWriters.Get().(*zstd.Encoder)
		w.Reset(out)
		return pooledZstd{w}
	}
	return plain{out}
}

type pooledZstd struct{ *zstd.Encoder }

// Close ends the frame.
func (p pooledZstd) Close() error {
	err := p.Encoder.Close()
	p.Reset(nil) // lets go of what it wrote to
	zstdWriters.Put(p.Encoder)
	return err
}

// plain compresses nothing.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// xerialWriter writes snappy blocks as Java's stream does.
type xerialWriter struct {
	out     io.Writer
	begun   bool
	pending []byte
	block   []byte
}

func (w *xerialWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		m := min(len(p), xerialBlock-len(w.pending))
		w.pending = append(w.pending, p[:m]...)
		if p = p[m:]; len(w.pending) == xerialBlock {
			if err := w.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (w *xerialWriter) flush() error {
	var head []byte
	if !w.begun {
		w.begun = true
		head = append(head, xerialMagic...)
		head = binary.BigEndian.AppendUint32(head, 1)
		head = binary.BigEndian.AppendUint32(head, 1)
	}
	if len(w.pending) > 0 {
		w.block = snappy.Encode(w.block[:cap(w.block)], w.pending)
		w.pending = w.pending[:0]
		head = binary.BigEndian.AppendUint32(head, uint32(len(w.block)))
	}
	if _, err := w.out.Write(head); err != nil {
		return err
	}
	_, err := w.out.Write(w.block)
	w.block = w.block[:0]
	return err
}

// Close writes the last block.
func (w *xerialWriter) Close() error { return w.flush() }
