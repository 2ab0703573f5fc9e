package searchsync

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkApplySmall is the index's life in a platform with little to do: one
// batch of a few log lines after another, each durable before the next. It
// prints the CPU time that each costs when the index has so many lines already.
func BenchmarkApplySmall(b *testing.B) {
	for _, before := range []int{0, 20_000} {
		b.Run(fmt.Sprintf("after-%d", before), func(b *testing.B) {
			index, err := OpenBleve(filepath.Join(b.TempDir(), "index"))
			if err != nil {
				b.Fatal(err)
			}
			defer index.Close()
			next := 0
			lines := func(n int) []Document {
				docs := make([]Document, n)
				for i := range docs {
					docs[i] = Document{Kind: Logs, ID: fmt.Sprint(next), Fields: map[string]any{
						"service": "order", "level": "INFO", "message": fmt.Sprintf("order %d was placed by somebody", next),
						"trace_id": fmt.Sprintf("%032x", next), "time": "2026-11-01T10:00:00Z",
					}}
					next++
				}
				return docs
			}
			for next < before {
				if err := index.Apply(b.Context(), lines(1000)); err != nil {
					b.Fatal(err)
				}
			}
			cpu := cpuTime()
			for b.Loop() {
				if err := index.Apply(b.Context(), lines(4)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}
