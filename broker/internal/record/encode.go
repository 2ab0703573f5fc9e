package record

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// xerialBlock is the block size that Java's snappy stream writes.
const xerialBlock = 32 << 10

var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		panic(err) // the options are constant
	}
	return e
})

// compress appends src in the given codec to dst.
func compress(dst []byte, codec Codec, src []byte) []byte {
	switch codec {
	case Gzip:
		return stream(dst, src, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	case Snappy:
		dst = append(dst, xerialMagic...)
		dst = binary.BigEndian.AppendUint32(dst, 1)
		dst = binary.BigEndian.AppendUint32(dst, 1)
		for len(src) > 0 {
			n := min(len(src), xerialBlock)
			block := snappy.Encode(nil, src[:n])
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(block)))
			dst = append(dst, block...)
			src = src[n:]
		}
		return dst
	case LZ4:
		return stream(dst, src, func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) })
	case Zstd:
		return zstdEncoder().EncodeAll(src, dst)
	}
	return append(dst, src...)
}

// stream compresses through a writer; writes to memory do not fail.
func stream(dst, src []byte, open func(io.Writer) io.WriteCloser) []byte {
	buf := bytes.NewBuffer(dst)
	w := open(buf)
	if _, err := w.Write(src); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}
