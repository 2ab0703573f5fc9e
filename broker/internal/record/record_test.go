package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func sample(n int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{Offset: int64(i), Timestamp: 1000 + int64(i%7), Key: fmt.Appendf(nil, "key-%d", i), Value: bytes.Repeat([]byte{byte(i)}, i%300)}
		switch i % 4 {
		case 1:
			recs[i].Key = nil
		case 2:
			recs[i].Value = nil
		case 3:
			recs[i].Headers = []Header{{Key: "h", Value: []byte("v")}, {Key: "", Value: nil}}
		}
	}
	return recs
}

func build(o Options, recs []Record) []byte {
	b := NewBuilder(o)
	for _, r := range recs {
		b.Add(r)
	}
	return b.Batch()
}

func read(t testing.TB, b []byte) []Record {
	t.Helper()
	var r Reader
	if err := r.Reset(b, 0); err != nil {
		t.Fatal(err)
	}
	var out []Record
	for {
		var rec Record
		if !r.Next(&rec) {
			break
		}
		rec.Key, rec.Value = bytes.Clone(rec.Key), bytes.Clone(rec.Value)
		out = append(out, rec)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return out
}

func TestBuildValidateRead(t *testing.T) {
	for _, c := range codecs {
		for _, n := range []int{1, 2, 100, 300} {
			t.Run(fmt.Sprintf("%v/%d", c, n), func(t *testing.T) {
				recs := sample(n)
				b := build(Options{Codec: c}, recs)
				info, err := Validate(b, &Rules{Client: true, Inner: true, Now: time.UnixMilli(2000), After: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				if int(info.Count) != n || info.LastOffset() != int64(n-1) || info.MaxTimestamp != 1000+int64(min(n-1, 6)) || info.Codec() != c {
					t.Fatalf("info %+v", info)
				}
				if diff := cmp.Diff(recs, read(t, b)); diff != "" {
					t.Fatal(diff)
				}
			})
		}
	}
}

// TestAgainstKmsg holds the layout against an independent implementation.
func TestAgainstKmsg(t *testing.T) {
	recs := sample(20)
	b := build(Options{Idempotent: true, ProducerID: 77, ProducerEpoch: 3, BaseSequence: 9, Transactional: true, BaseOffset: 1 << 40, LeaderEpoch: 6}, recs)
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	info, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	got := Info{
		BaseOffset: k.FirstOffset, Size: int(k.Length) + PrefixSize, LeaderEpoch: k.PartitionLeaderEpoch, CRC: uint32(k.CRC), Attributes: k.Attributes,
		LastOffsetDelta: k.LastOffsetDelta, BaseTimestamp: k.FirstTimestamp, MaxTimestamp: k.MaxTimestamp, ProducerID: k.ProducerID,
		ProducerEpoch: k.ProducerEpoch, BaseSequence: k.FirstSequence, Count: k.NumRecords,
	}
	if diff := cmp.Diff(got, info); diff != "" {
		t.Fatal(diff)
	}
	if info.BaseOffset != 1<<40 || info.LeaderEpoch != 6 || info.ProducerID != 77 || !info.Transactional() {
		t.Fatalf("%+v", info)
	}
	body := k.Records
	for i := range recs {
		var r kmsg.Record
		length, n := binary.Varint(body)
		if err := r.ReadFrom(body[:n+int(length)]); err != nil {
			t.Fatal(err)
		}
		body = body[n+int(length):]
		if !bytes.Equal(r.Key, recs[i].Key) || !bytes.Equal(r.Value, recs[i].Value) || int(r.OffsetDelta) != i || r.TimestampDelta64 != recs[i].Timestamp-1000 || len(r.Headers) != len(recs[i].Headers) {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
}

func code(err error) int16 {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// resign applies edit to a copy of b and makes the CRC right again.
func resign(b []byte, edit func(b []byte)) []byte {
	b = bytes.Clone(b)
	edit(b)
	sign(b)
	return b
}

func TestValidateRefuses(t *testing.T) {
	good := build(Options{}, sample(10))
	be := binary.BigEndian
	client := Rules{Client: true, Inner: true, Now: time.UnixMilli(1000), After: time.Hour}
	keys := client
	keys.RequireKeys = true
	before := client
	before.Now, before.Before = time.UnixMilli(100_000), time.Second
	small := client
	small.MaxBytes = len(good) - 1
	tests := []struct {
		name  string
		batch []byte
		rules Rules
		code  int16
	}{
		{"good", good, client, 0},
		{"empty", nil, client, CodeCorruptMessage},
		{"cut header", good[:60], client, CodeCorruptMessage},
		{"cut body", good[:len(good)-1], client, CodeCorruptMessage},
		{"magic 1", resign(good, func(b []byte) { b[offMagic] = 1 }), client, CodeInvalidRecord},
		{"short magic 0", make([]byte, 40), client, CodeInvalidRecord},
		{"length below header", resign(good, func(b []byte) { be.PutUint32(b[offLength:], 48) }), client, CodeCorruptMessage},
		{"length negative", resign(good, func(b []byte) { be.PutUint32(b[offLength:], math.MaxUint32) }), client, CodeCorruptMessage},
		{"flipped bit", func() []byte { b := bytes.Clone(good); b[100] ^= 1; return b }(), client, CodeCorruptMessage},
		{"too large", good, small, CodeMessageTooLarge},
		{"codec 5", resign(good, func(b []byte) { b[offAttributes+1] |= 5 }), client, CodeUnsupportedCompression},
		{"base offset", resign(good, func(b []byte) { b[7] = 1 }), client, CodeInvalidRecord},
		{"base offset from a replica", resign(good, func(b []byte) { b[7] = 1 }), Rules{}, 0},
		{"control", resign(good, func(b []byte) { b[offAttributes+1] |= attrControl }), client, CodeInvalidRecord},
		{"log append time", resign(good, func(b []byte) { b[offAttributes+1] |= attrLogAppendTime }), client, CodeInvalidTimestamp},
		{"no records", resign(good, func(b []byte) { be.PutUint32(b[offCount:], 0) }), client, CodeInvalidRecord},
		{"negative count", resign(good, func(b []byte) { be.PutUint32(b[offCount:], math.MaxUint32) }), client, CodeInvalidRecord},
		{"too few records", resign(good, func(b []byte) { be.PutUint32(b[offCount:], 9); be.PutUint32(b[offLastDelta:], 8) }), client, CodeInvalidRecord},
		{"too many records", resign(good, func(b []byte) { be.PutUint32(b[offCount:], 11); be.PutUint32(b[offLastDelta:], 10) }), client, CodeInvalidRecord},
		{"two billion compressed records", resign(build(Options{Codec: Zstd}, sample(10)), func(b []byte) {
			be.PutUint32(b[offCount:], math.MaxInt32)
			be.PutUint32(b[offLastDelta:], math.MaxInt32-1)
		}), Rules{Client: true}, CodeInvalidRecord},
		{"a zstd window of 16 MiB", zstdWindow(16 << 20), client, CodeUnsupportedCompression},
		{"a zstd window of 8 MiB", zstdWindow(8 << 20), client, 0},
		{"count is not range", resign(good, func(b []byte) { be.PutUint32(b[offLastDelta:], 10) }), client, CodeInvalidRecord},
		{"negative range", resign(good, func(b []byte) { be.PutUint32(b[offLastDelta:], math.MaxUint32) }), client, CodeInvalidRecord},
		{"producer without sequence", resign(good, func(b []byte) { be.PutUint64(b[offProducerID:], 5) }), client, CodeInvalidRecord},
		{"transactional without producer", resign(good, func(b []byte) { b[offAttributes+1] |= attrTransactional }), client, CodeInvalidRecord},
		{"record length", resign(good, func(b []byte) { b[HeaderSize]++ }), client, CodeInvalidRecord},
		{"offset delta", resign(good, func(b []byte) { b[HeaderSize+3] = 2 }), client, CodeInvalidRecord},
		{"keyless", good, keys, CodeInvalidRecord},
		{"too old", good, before, CodeInvalidTimestamp},
		{"too new", resign(good, func(b []byte) { be.PutUint64(b[offBaseTime:], 1<<50); be.PutUint64(b[offMaxTime:], 1<<50) }), client, CodeInvalidTimestamp},
		{"not gzip", resign(good, func(b []byte) { b[offAttributes+1] |= 1 }), client, CodeCorruptMessage},
		{"not snappy", resign(good, func(b []byte) { b[offAttributes+1] |= 2 }), client, CodeCorruptMessage},
		{"not lz4", resign(good, func(b []byte) { b[offAttributes+1] |= 3 }), client, CodeCorruptMessage},
		{"not zstd", resign(good, func(b []byte) { b[offAttributes+1] |= 4 }), client, CodeCorruptMessage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Validate(bytes.Clone(tt.batch), &tt.rules)
			if code(err) != tt.code {
				t.Fatalf("got %d (%v), want %d", code(err), err, tt.code)
			}
		})
	}
}

// zstdWindow is a batch that was compressed with a window.
func zstdWindow(size int) []byte {
	b := build(Options{}, sample(10))
	var out bytes.Buffer
	out.Write(b[:HeaderSize])
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(size))
	if err != nil {
		panic(err)
	}
	for _, part := range [][]byte{b[HeaderSize:100], b[100:]} { // so that it does not know how much there is
		_, _ = w.Write(part)
		_ = w.Flush()
	}
	_ = w.Close()
	return resign(out.Bytes(), func(b []byte) {
		binary.BigEndian.PutUint32(b[offLength:], uint32(len(b)-PrefixSize))
		b[offAttributes+1] |= byte(Zstd)
	})
}

func TestKeylessNamesEveryRecord(t *testing.T) {
	_, err := Validate(build(Options{Codec: LZ4}, sample(8)), &Rules{Client: true, RequireKeys: true})
	var e *Error
	if !errors.As(err, &e) || len(e.Records) != 2 || e.Records[0].Index != 1 || e.Records[1].Index != 5 {
		t.Fatalf("%#v", err)
	}
}

// TestDecompressionIsBounded feeds each codec a batch that grows beyond the bound.
func TestDecompressionIsBounded(t *testing.T) {
	big := []Record{{Timestamp: 1, Value: make([]byte, 1<<20)}}
	for _, c := range codecs[1:] {
		b := build(Options{Codec: c}, big)
		_, err := Validate(b, &Rules{Client: true, Inner: true, MaxDecompressed: 1 << 16})
		if code(err) != CodeMessageTooLarge {
			t.Errorf("%v: %v", c, err)
		}
		var r Reader
		if err := r.Reset(b, 1<<16); code(err) != CodeMessageTooLarge {
			t.Errorf("%v: reader: %v", c, err)
		}
	}
}

func TestHeaderTimestampIsCorrected(t *testing.T) {
	b := resign(build(Options{}, sample(10)), func(b []byte) { binary.BigEndian.PutUint64(b[offMaxTime:], 5) })
	info, err := Validate(b, &Rules{Client: true})
	if err != nil || info.MaxTimestamp != 1006 || !CheckCRC(b) {
		t.Fatalf("%+v, %v", info, err)
	}
}

func TestStamp(t *testing.T) {
	b := build(Options{}, sample(3))
	Stamp(b, 500, 7)
	if !CheckCRC(b) {
		t.Fatal("offset and epoch lie outside the CRC")
	}
	StampAppendTime(b, 4242)
	if !CheckCRC(b) {
		t.Fatal("no new CRC")
	}
	for i, r := range read(t, b) {
		if r.Offset != 500+int64(i) || r.Timestamp != 4242 {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
}

func TestMarker(t *testing.T) {
	for _, commit := range []bool{true, false} {
		want := Marker{Commit: commit, CoordinatorEpoch: 12}
		b := EndTxn(9, 2, want, 77)
		info, err := Validate(b, &Rules{})
		if err != nil || !info.Control() || !info.Transactional() || info.Count != 1 || info.ProducerID != 9 || info.BaseSequence != -1 {
			t.Fatalf("%+v %v", info, err)
		}
		got, ok, err := ParseMarker(b)
		if err != nil || !ok || got != want {
			t.Fatalf("%+v %v %v", got, ok, err)
		}
	}
}

func TestRecompress(t *testing.T) {
	recs := sample(20)
	for _, from := range codecs {
		for _, to := range codecs {
			b, err := Recompress(build(Options{Codec: from}, recs), to, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := Validate(b, &Rules{Client: true, Inner: true}); err != nil || info.Codec() != to {
				t.Fatalf("%v→%v: %+v %v", from, to, info, err)
			}
			if diff := cmp.Diff(recs, read(t, b)); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

// TestRecompressTakesLittle: a batch that decompresses to 30 MiB takes no such memory
// on its way into another codec, whether the result fits its topic or not.
func TestRecompressTakesLittle(t *testing.T) {
	zeros := make([]byte, 1<<20)
	var recs []Record
	for i := range 30 {
		recs = append(recs, Record{Offset: int64(i), Value: zeros})
	}
	bomb := build(Options{Codec: Snappy}, recs)
	for _, to := range []Codec{None, Gzip, LZ4} {
		var err error
		const bound = 12 << 20
		took := alloc.Least(bound, func() { _, err = Recompress(bomb, to, 4<<20) })
		if large := errors.Is(err, &Error{Code: CodeMessageTooLarge}); large != (to == None) || err != nil && !large {
			t.Errorf("%v: %v", to, err)
		}
		if took > bound {
			t.Errorf("%v: %d MiB were allocated", to, took>>20)
		}
	}
}

func TestSequenceWraps(t *testing.T) {
	i := Info{BaseSequence: math.MaxInt32 - 1, LastOffsetDelta: 3}
	if got := i.LastSequence(); got != 1 {
		t.Fatal(got)
	}
}

func TestEachStopsAtACutBatch(t *testing.T) {
	b := append(build(Options{}, sample(2)), build(Options{}, sample(3))...)
	whole := len(b)
	b = append(b, build(Options{}, sample(4))[:50]...)
	n := 0
	if got := Each(b, func([]byte) bool { n++; return true }); got != whole || n != 2 {
		t.Fatal(got, n)
	}
}

func TestWalkAllocates(t *testing.T) {
	b := build(Options{}, sample(1000))
	rules := Rules{Client: true, Now: time.UnixMilli(1000), After: time.Hour}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Validate(b, &rules); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Fatalf("%v allocations for a batch of 1000 records", n)
	}
}

// FuzzValidate: whatever arrives, no panic, bounded work, and what passes reads
// back as many records as it claims.
func FuzzValidate(f *testing.F) {
	for _, c := range codecs {
		f.Add(build(Options{Codec: c}, sample(5)))
	}
	f.Add(EndTxn(1, 1, Marker{Commit: true}, 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := SizeOf(b); n >= HeaderSize && n <= len(b) {
			sign(b[:n]) // let the fuzzer past the CRC
		}
		if n := SizeOf(b); n >= HeaderSize && n <= len(b) {
			plainAgrees(t, b[:n], &Rules{Client: len(b)%2 == 0, RequireKeys: len(b)%3 == 0})
		}
		info, err := Validate(b, &Rules{Client: len(b)%2 == 0, Inner: true, MaxDecompressed: 1 << 20})
		if err != nil {
			if code(err) == 0 {
				t.Fatalf("error without a Kafka code: %v", err)
			}
			return
		}
		if got := read(t, b[:info.Size]); len(got) != int(info.Count) {
			t.Fatalf("%d records, header says %d", len(got), info.Count)
		}
		if info.Control() {
			_, _, _ = ParseMarker(b[:info.Size])
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{100, 1024} {
		bl := NewBuilder(Options{})
		for range 16384 / size {
			bl.Add(Record{Timestamp: 1000, Value: make([]byte, size)})
		}
		batch := bl.Batch()
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			rules := Rules{Client: true, Now: time.UnixMilli(1000), After: time.Hour}
			for b.Loop() {
				if _, err := Validate(batch, &rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
