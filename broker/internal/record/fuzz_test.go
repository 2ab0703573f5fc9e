package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
)

// FuzzDecompress: whatever is said to be compressed, reading it gives no more than the
// bound, in memory that does not depend on what it claims, and no panic.
func FuzzDecompress(f *testing.F) {
	plain := bytes.Repeat([]byte("some text, again and again. "), 200)
	for _, c := range codecs {
		f.Add(int8(c), compress(nil, c, plain))
		f.Add(int8(c), compress(nil, c, nil))
	}
	f.Add(int8(Snappy), []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}) // claims 4 GiB
	f.Fuzz(func(t *testing.T, codec int8, src []byte) {
		const bound = 64 << 10
		var out []byte
		var err error
		alloc.Within(t, len(src), func() { out, err = decompress(nil, Codec(codec), src, bound) })
		if len(out) > bound+windowSize {
			t.Fatalf("%d bytes came out, the bound is %d", len(out), bound)
		}
		var known *Error
		if err != nil && !errors.As(err, &known) {
			t.Fatalf("error without a Kafka code: %v", err)
		}
		if err == nil && codec > 0 {
			again, err := decompress(nil, Codec(codec), compress(nil, Codec(codec), out), bound)
			if err != nil || !bytes.Equal(out, again) {
				t.Fatalf("%d bytes are %d when compressed anew: %v", len(out), len(again), err)
			}
		}
	})
}

// headed is a batch of anything behind a header that fits.
func headed(attributes int16, count, lastDelta int32, body []byte) []byte {
	b := append(NewBuilder(Options{}).Batch(), body...)
	binary.BigEndian.PutUint32(b[offLength:], uint32(len(b)-PrefixSize))
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(attributes))
	binary.BigEndian.PutUint32(b[offCount:], uint32(count))
	binary.BigEndian.PutUint32(b[offLastDelta:], uint32(lastDelta))
	sign(b)
	return b
}

// FuzzBatch: a batch of anything, behind a header that fits: validating, compressing
// anew, emptying, reading and searching it neither panics nor costs more than its size and the
// bound on what it may decompress to.
func FuzzBatch(f *testing.F) {
	for _, c := range codecs {
		b := build(Options{Codec: c, Idempotent: true, ProducerID: 1}, sample(5))
		f.Add(int16(c), int32(5), b[HeaderSize:])
	}
	marker := EndTxn(1, 1, Marker{Commit: true}, 5)
	f.Add(int16(attrControl|attrTransactional), int32(1), marker[HeaderSize:])
	f.Fuzz(func(t *testing.T, attributes int16, count int32, body []byte) {
		b := headed(attributes, count, count-1, body)
		rules := Rules{Client: true, Inner: true, RequireKeys: count%2 == 0, MaxDecompressed: 256 << 10, Now: time.UnixMilli(1000), After: time.Hour}
		alloc.Within(t, len(b), func() {
			info, err := Validate(b, &rules)
			if err != nil {
				return
			}
			if got := read(t, b); len(got) != int(info.Count) {
				t.Fatalf("%d records, the header says %d", len(got), info.Count)
			}
			if _, err := Rebuild(nil, b, nil, -1); err != nil {
				t.Fatal(err)
			}
			if _, _, ok, err := FirstSince(b, math.MinInt64, 0); !ok || err != nil {
				t.Fatal(ok, err)
			}
		})
		_, _, _ = ParseMarker(b)
		alloc.Within(t, len(b), func() { _, _, _, _ = FirstSince(b, math.MaxInt64, 0) }) // stored without a look
	})
}
