package record

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
)

// TestFirstSince: in every codec, with times given by the producer, by the broker and
// changed by compaction, it finds what a reader of all records finds.
func TestFirstSince(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, codec := range codecs {
		recs := sample(50)
		for i := range recs {
			recs[i].Timestamp = 1000 + rng.Int64N(20)
		}
		plain := build(Options{Codec: codec}, recs)
		stamped := build(Options{Codec: codec}, recs)
		StampAppendTime(stamped, 1010)
		horizon, err := Rebuild(nil, plain, recs[10:40], 5000)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"plain": plain, "stamped": stamped, "with a horizon": horizon} {
			t.Run(fmt.Sprintf("%v/%s", codec, name), func(t *testing.T) {
				all := read(t, b)
				for ts := int64(998); ts < 1023; ts++ {
					for from := int64(0); from < 52; from += 3 {
						want, found := Record{}, false
						for _, r := range all {
							if r.Timestamp >= ts && r.Offset >= from {
								want, found = r, true
								break
							}
						}
						offset, timestamp, ok, err := FirstSince(b, ts, from)
						if err != nil || ok != found || ok && (offset != want.Offset || timestamp != want.Timestamp) {
							t.Fatalf("since %d from %d: offset %d, time %d, %v, %v; a reader finds %v %d, %d", ts, from, offset, timestamp, ok, err, found, want.Offset, want.Timestamp)
						}
					}
				}
			})
		}
		more := resign(plain, func(b []byte) { binary.BigEndian.PutUint32(b[offCount:], 51) })
		if _, _, _, err := FirstSince(more, 2000, 0); code(err) != CodeInvalidRecord {
			t.Errorf("%v: a batch with fewer records than it says: %v", codec, err)
		}
	}
}

// TestFirstSinceTakesLittle: a batch that decompresses to 30 MiB takes no such memory.
func TestFirstSinceTakesLittle(t *testing.T) {
	zeros := make([]byte, 1<<20)
	var recs []Record
	for i := range 30 {
		recs = append(recs, Record{Offset: int64(i), Timestamp: int64(i), Value: zeros})
	}
	for _, codec := range codecs[1:] {
		const bound = 12 << 20
		b := build(Options{Codec: codec}, recs)
		took := alloc.Least(bound, func() {
			if offset, _, ok, err := FirstSince(b, 29, 0); offset != 29 || !ok || err != nil {
				t.Fatal(offset, ok, err)
			}
		})
		if took > bound {
			t.Errorf("%v: %d MiB were allocated", codec, took>>20)
		}
	}
}
