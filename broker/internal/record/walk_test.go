package record

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPlainAgreesWithScan: what the quick check of uncompressed records lets pass,
// the thorough one does too, and both see the same times.
func TestPlainAgreesWithScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	passed := 0
	for n := range 50_000 {
		b := build(Options{}, sample(1+n%5))
		for range rng.IntN(3) {
			b[HeaderSize+rng.IntN(len(b)-HeaderSize)] = byte(rng.IntN(256))
		}
		if plainAgrees(t, b, &Rules{Client: n%2 == 0, RequireKeys: n%3 == 0, Now: time.UnixMilli(1000), Before: time.Minute, After: time.Hour}) {
			passed++
		}
	}
	if passed < 5000 || passed > 45_000 {
		t.Fatalf("%d of 50,000 batches passed, the test shows little", passed)
	}
}

func plainAgrees(t *testing.T, b []byte, r *Rules) (passed bool) {
	t.Helper()
	info, err := ParseHeader(b)
	if err != nil || info.Codec() != None {
		return false
	}
	plain, scan := walk{rules: r, info: &info}, walk{rules: r, info: &info}
	plain.bounds()
	scan.bounds()
	if !plain.plain(b) {
		return false
	}
	if err := scan.scan(b); err != nil || scan.maxSeen != plain.maxSeen {
		t.Fatalf("passed with times up to %d; scanned up to %d, and: %v\n%x", plain.maxSeen, scan.maxSeen, err, b)
	}
	return true
}

// sized has keys and values whose lengths take one byte more than those before them, or
// are null; some have headers, and times that are far from the first.
func sized() []Record {
	of := func(n int) []byte {
		if n < 0 {
			return nil
		}
		return bytes.Repeat([]byte{'x'}, n)
	}
	var recs []Record
	for _, key := range []int{-1, 0, 63, 64, 8191, 8192} {
		for _, value := range []int{-1, 0, 63, 64, 8191, 8192} {
			recs = append(recs, Record{Timestamp: 1000 + int64(len(recs)%3-1)*64, Key: of(key), Value: of(value)})
		}
	}
	recs[7].Timestamp, recs[9].Timestamp, recs[11].Timestamp = 1000+8191, 1000-8192, 1000+8192
	recs[13].Headers = []Header{{Key: "h", Value: []byte("v")}}
	for i := range recs {
		recs[i].Offset = int64(i)
	}
	return recs
}

// TestPlainTakesAll: the quick check has nothing against good records of any size.
func TestPlainTakesAll(t *testing.T) {
	many := make([]Record, 1<<13+2) // the last have an offset delta of three bytes
	for i := range many {
		many[i] = Record{Offset: int64(i), Timestamp: 1000 + int64(i%7), Value: []byte("v")}
	}
	for name, recs := range map[string][]Record{"sized": sized(), "reversed": renumbered(sized()), "many": many} {
		if !plainAgrees(t, build(Options{}, recs), &Rules{Client: true, Now: time.UnixMilli(1000), Before: time.Minute, After: time.Minute}) {
			t.Errorf("%s: did not pass", name)
		}
	}
}

// renumbered turns records round.
func renumbered(recs []Record) []Record {
	slices.Reverse(recs)
	for i := range recs {
		recs[i].Offset = int64(i)
	}
	return recs
}

// TestPlainRefusesWhatScanDoes: any byte that is not a key's or a value's, changed to what is
// next to a bound.
func TestPlainRefusesWhatScanDoes(t *testing.T) {
	rules := Rules{Client: true, RequireKeys: true, Now: time.UnixMilli(1000), Before: 10 * time.Millisecond, After: 10 * time.Millisecond}
	for _, recs := range [][]Record{sample(9), renumbered(sample(9)), sample(140)[130:]} {
		for i := range recs {
			recs[i].Offset = int64(i)
			if recs[i].Key == nil {
				recs[i].Key = []byte{}
			}
		}
		good := build(Options{}, recs)
		if !plainAgrees(t, bytes.Clone(good), &rules) {
			t.Fatal("did not pass")
		}
		for at := HeaderSize; at < len(good); at++ {
			for _, c := range []byte{0, 1, 2, 3, good[at] - 2, good[at] + 2, good[at] ^ 1, 0x7e, 0x7f, 0x80, 0x81, 0xff} {
				b := bytes.Clone(good)
				b[at] = c
				plainAgrees(t, b, &rules)
			}
		}
		for _, end := range []int{len(good) - 1, len(good) - 2, HeaderSize + 8, HeaderSize + 9, HeaderSize} {
			if info, err := ParseHeader(good); err != nil || (&walk{rules: &rules, info: &info}).plain(good[:end]) {
				t.Errorf("cut at %d it passed, %v", end, err)
			}
		}
	}
}

// TestPlainRefusesMade: records that would pass if long fields were taken for short ones, or
// if the header's last offset did not count.
func TestPlainRefusesMade(t *testing.T) {
	for name, b := range map[string][]byte{
		"a time of three bytes":     headed(0, 1, 0, []byte{16, 0, 0x80, 0x80, 0, 2, 'x', 1, 0}),
		"a last offset too low":     headed(0, 2, 0, []byte{16, 0, 0, 0, 1, 4, 'v', 'v', 0, 16, 0, 0, 2, 1, 4, 'v', 'v', 0}),
		"a value that is not there": headed(0, 1, 0, []byte{16, 0, 0, 0, 2, 'k', 3, 0, 0}),
	} {
		if plainAgrees(t, b, &Rules{Now: time.UnixMilli(1000)}) {
			t.Errorf("%s: passed", name)
		}
	}
}

// FuzzPlain: as TestPlainAgreesWithScan, of anything behind a header that fits.
func FuzzPlain(f *testing.F) {
	f.Add(int32(5), int32(4), uint8(0), build(Options{}, sample(5))[HeaderSize:])
	f.Add(int32(36), int32(35), uint8(1), build(Options{}, sized())[HeaderSize:])
	f.Add(int32(1), int32(math.MaxInt32), uint8(7), []byte{16, 0, 0x80, 0x80, 0, 2, 'x', 1, 0})
	f.Add(int32(1), int32(0), uint8(2), []byte{34, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 2, 'k', 0x80, 0, 0}) // a time of ten bytes
	f.Fuzz(func(t *testing.T, count, lastDelta int32, rules uint8, body []byte) {
		r := Rules{Client: rules&1 != 0, RequireKeys: rules&2 != 0, Now: time.UnixMilli(1000)}
		if rules&4 != 0 {
			r.Before, r.After = time.Second, time.Second
		}
		plainAgrees(t, headed(0, count, lastDelta, body), &r)
	})
}
