package clusterlog

import (
	"encoding/binary"
	"hash/crc32"
	"path"
	"slices"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// FuzzOpen opens a cluster log that holds anything. It is refused, or takes records and
// has them, behind those it had, when it is opened again.
func FuzzOpen(f *testing.F) {
	whole := slices.Concat(frame([][]byte{[]byte("one"), []byte("two")}), frame([][]byte{[]byte("three")}))
	f.Add(whole, false)
	f.Add(whole[:len(whole)-3], false)
	f.Add(slices.Concat(whole[:12], whole), false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1}, true)
	f.Add(frame(slices.Repeat([][]byte{{1}}, 100_000)), false) // the smallest records
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		if sign && len(data) >= headerSize { // let the fuzzer past the checksum
			data = slices.Clone(data)
			binary.BigEndian.PutUint32(data, uint32(len(data)-headerSize))
			binary.BigEndian.PutUint32(data[4:], crc32.Checksum(data[headerSize:], castagnoli))
		}
		fs := fsys.NewMem()
		if err := fs.MkdirAll("/data"); err != nil {
			t.Fatal(err)
		}
		file, err := fs.Create(path.Join("/data", name))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.WriteAt(data, 0)
		_ = file.Close()
		var l *Log
		var records [][]byte
		// The file once, and for each record, of which the smallest takes five bytes, a
		// slice of 24.
		alloc.WithinTimes(t, 6, len(data), func() { l, records, err = Open(fs, "/data") })
		if err != nil {
			return
		}
		if err := l.Append([]byte("more")); err != nil {
			t.Fatal(err)
		}
		_, again, err := Open(fs, "/data")
		if err != nil || len(again) != len(records)+1 || string(again[len(records)]) != "more" {
			t.Fatalf("%d records, then %d: %v", len(records), len(again), err)
		}
	})
}
