package partition

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// BenchmarkAppend measures acknowledged appends on the real file system: each
// producer waits for its batch before it sends the next.
func BenchmarkAppend(b *testing.B) {
	for _, bm := range []struct {
		producers, partitions, size int
		flush                       commitlog.Flush
		journal                     int64 // -1 = none
	}{
		{1, 1, 100, commitlog.FlushGroup, 0}, {1, 1, 100, commitlog.FlushGroup, -1},
		{64, 1, 100, commitlog.FlushGroup, 0}, {64, 1, 100, commitlog.FlushGroup, -1},
		{16, 12, 100, commitlog.FlushGroup, 0}, {16, 12, 100, commitlog.FlushGroup, -1},
		{64, 12, 100, commitlog.FlushGroup, 0}, {64, 12, 100, commitlog.FlushGroup, -1},
		{64, 12, 16 << 10, commitlog.FlushGroup, 0}, {64, 12, 16 << 10, commitlog.FlushGroup, -1},
		{64, 200, 100, commitlog.FlushGroup, 0}, {64, 200, 100, commitlog.FlushGroup, -1},
		{64, 12, 16 << 10, commitlog.FlushOS, 0},
	} {
		b.Run(fmt.Sprintf("producers=%d/partitions=%d/size=%d/flush=%d/journal=%t", bm.producers, bm.partitions, bm.size, bm.flush, bm.journal == 0), func(b *testing.B) {
			dir := b.TempDir()
			c, err := commitlog.NewCommitter(commitlog.CommitterConfig{FS: fsys.OS, Dir: dir, Flush: bm.flush, JournalBytes: bm.journal, JournalAfter: 1, Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			var parts []*Partition
			for i := range bm.partitions {
				p, err := Open(Config{FS: fsys.OS, Dir: filepath.Join(dir, fmt.Sprint("t-", i)), LeaderEpoch: 1, Committer: c, Logger: quiet})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				parts = append(parts, p)
			}
			template := batch(1, bm.size)
			b.SetBytes(int64(len(template)))
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			began := time.Now()
			b.ResetTimer()
			for i := range bm.producers {
				wg.Go(func() {
					buf := bytes.Clone(template)
					for n := i; left.Add(-1) >= 0; n++ {
						copy(buf, template[:8])
						a, err := parts[n%len(parts)].Append(buf, Client)
						if err != nil {
							b.Error(err)
							return
						}
						<-a.Durable()
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "acks/s")
			s := c.Stats()
			b.ReportMetric(float64(b.N)/float64(max(1, s.Rounds)), "acks/round")
		})
	}
}

// BenchmarkRead measures sequential reads of 1 MiB.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	c, err := commitlog.NewCommitter(commitlog.CommitterConfig{FS: fsys.OS, Dir: dir, Flush: commitlog.FlushOS, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	p, err := Open(Config{FS: fsys.OS, Dir: filepath.Join(dir, "t-0"), LeaderEpoch: 1, Committer: c, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for range 4000 {
		a, err := p.Append(batch(16, 1000), Client)
		if err != nil {
			b.Fatal(err)
		}
		<-a.Durable()
	}
	end := p.Offsets().HighWatermark
	buf := make([]byte, 1<<20)
	next := int64(0)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		res, err := p.ReadInto(buf, next, 1<<20, ReadUncommitted, true)
		if err != nil || len(res.Records) == 0 {
			b.Fatal(err)
		}
		if next += int64(len(res.Records) / len(batch16) * 16); next+2000 >= end {
			next = 0
		}
	}
}

var batch16 = batch(16, 1000)
