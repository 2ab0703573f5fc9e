package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decoder decompresses the records of one batch as a stream and fails once it has
// given out more than its bound.
type decoder struct {
	codec Codec
	src   bytes.Reader
	r     io.Reader
	left  int64
	gz    *gzip.Reader
	lz    *lz4.Reader
	zs    *zstd.Decoder
	sn    snappyReader
}

var (
	gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4s  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
	zstds = sync.Pool{New: func() any {
		// One goroutine fewer per decoder, and no window beyond what producers use: it is
		// taken at once, whatever comes.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			panic(err) // the options are constant
		}
		return d
	}}
)

// maxZstdWindow is that of level 19, the highest but for those that ask to be let take
// more memory.
const maxZstdWindow = 8 << 20

// errZstdWindow is an error that clients do not try again.
var errZstdWindow = Errorf(CodeUnsupportedCompression, "records are compressed by zstd with a window of more than 8 MiB: use a level of at most 19")

// newDecoder returns a decoder of src, which must be closed after use.
func newDecoder(codec Codec, src []byte, bound int64) (*decoder, error) {
	d := &decoder{codec: codec, left: bound}
	d.src.Reset(src)
	switch codec {
	case Gzip:
		d.gz = gzips.Get().(*gzip.Reader)
		if err := d.gz.Reset(&d.src); err != nil {
			return nil, Errorf(CodeCorruptMessage, "records are not gzip: %v", err)
		}
		d.r = d.gz
	case Snappy:
		d.sn = snappyReader{src: src, bound: bound}
		if bytes.HasPrefix(src, xerialMagic) {
			if len(src) < xerialHeader {
				return nil, Errorf(CodeCorruptMessage, "records end inside the xerial header")
			}
			d.sn.src, d.sn.framed = src[xerialHeader:], true
		}
		d.r = &d.sn
	case LZ4:
		d.lz = lz4s.Get().(*lz4.Reader)
		d.lz.Reset(&d.src)
		d.r = d.lz
	case Zstd:
		d.zs = zstds.Get().(*zstd.Decoder)
		if err := d.zs.Reset(&d.src); err != nil {
			return nil, Errorf(CodeCorruptMessage, "records are not zstd: %v", err)
		}
		d.r = d.zs
	default:
		return nil, Errorf(CodeUnsupportedCompression, "unknown compression codec %d", codec)
	}
	return d, nil
}

func (d *decoder) close() {
	switch {
	case d.gz != nil:
		gzips.Put(d.gz)
	case d.lz != nil:
		d.lz.Reset(nil)
		lz4s.Put(d.lz)
	case d.zs != nil:
		if d.zs.Reset(nil) == nil {
			zstds.Put(d.zs)
		}
	}
	d.gz, d.lz, d.zs = nil, nil, nil
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.left < 0 {
		return 0, ErrDecompressedTooLarge
	}
	n, err := d.r.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return n, errZstdWindow
	}
	if d.left -= int64(n); d.left < 0 {
		return 0, ErrDecompressedTooLarge
	}
	return n, err
}

// ErrDecompressedTooLarge is the error of records over the bound.
var ErrDecompressedTooLarge = Errorf(CodeMessageTooLarge, "records decompress to more than is accepted")

// The framing that Java clients put around snappy blocks: a magic, two versions,
// then blocks prefixed by their length.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeader = 16

// snappyReader decodes snappy blocks, framed or one alone.
type snappyReader struct {
	src    []byte
	framed bool
	bound  int64
	out    []byte
	pos    int
	buf    []byte
}

func (r *snappyReader) Read(p []byte) (int, error) {
	for r.pos == len(r.out) {
		if len(r.src) == 0 {
			return 0, io.EOF
		}
		block := r.src
		if r.framed {
			if len(r.src) < 4 {
				return 0, io.ErrUnexpectedEOF
			}
			n := binary.BigEndian.Uint32(r.src)
			if uint64(n) > uint64(len(r.src)-4) {
				return 0, io.ErrUnexpectedEOF
			}
			block = r.src[4 : 4+n]
		}
		size, err := snappy.DecodedLen(block)
		if err != nil {
			return 0, err
		}
		if int64(size) > r.bound {
			return 0, ErrDecompressedTooLarge
		}
		// A block grows at most 64-fold or so: one that claims more is lying, and
		// is found out before memory is taken for it.
		if size > 64*len(block)+64 {
			return 0, snappy.ErrCorrupt
		}
		if r.out, err = snappy.Decode(r.buf[:cap(r.buf)], block); err != nil {
			return 0, err
		}
		r.buf, r.pos = r.out, 0
		if r.framed {
			r.src = r.src[4+len(block):]
		} else {
			r.src = nil
		}
	}
	n := copy(p, r.out[r.pos:])
	r.pos += n
	return n, nil
}
