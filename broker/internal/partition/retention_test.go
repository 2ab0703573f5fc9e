package partition

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

func TestRetention(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		name  string
		cfg   commitlog.Config
		later time.Duration
		start int64 // of 20 batches, an hour apart, five to a segment
	}{
		{"nothing is old", commitlog.Config{}, 0, 0},
		{"seven days by default", commitlog.Config{}, 7*day - 9*time.Hour, 10},
		{"by time", commitlog.Config{RetentionTime: 12 * time.Hour}, 0, 5},
		{"all of it", commitlog.Config{RetentionTime: time.Hour}, 2 * time.Hour, 20},
		{"by time, never", commitlog.Config{RetentionTime: -1}, 1000 * day, 0},
		{"by size", commitlog.Config{RetentionBytes: 2100}, 0, 5},
		{"by size, a segment too many by a byte", commitlog.Config{RetentionBytes: 1001, RetentionTime: -1}, 0, 10},
		{"compacted topics keep everything", commitlog.Config{Compact: true, RetentionTime: time.Hour}, 10 * day, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			var now atomic.Int64
			now.Store(begin.UnixMilli())
			e := newEnv(t, func(e *env) {
				e.cfg = tt.cfg
				e.cfg.SegmentBytes = 5 * 200
				e.now = func() time.Time { return time.UnixMilli(now.Load()) }
			})
			one := batchAt(record.Options{}, 0, 1, 200-61-10)
			if len(one) != 200 {
				t.Fatal(len(one))
			}
			for i := range 20 {
				now.Store(begin.Add(time.Duration(i) * time.Hour).UnixMilli())
				e.durable(batchAt(record.Options{}, now.Load(), 1, 200-61-10), Client)
			}
			w := NewWaiter(1 << 30)
			e.Notify(w, ReadUncommitted)
			now.Add(tt.later.Milliseconds())
			if err := e.log.Clean(); err != nil {
				t.Fatal(err)
			}
			if o := e.Offsets(); o.LogStart != tt.start || o.LogEnd != 20 {
				t.Fatalf("%+v, want start %d", o, tt.start)
			}
			if tt.start > 0 {
				wait(t, w.c)
			}
			deadline := time.Now().Add(2 * time.Minute)
			for !tt.cfg.Compact && e.Size() > (20-tt.start)*200 && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond) // segments go when a checkpoint has passed them
			}
			if size := e.Size(); !tt.cfg.Compact && size != (20-tt.start)*200 {
				t.Fatalf("%d bytes are left", size)
			}
			e.restart()
			if o := e.Offsets(); o.LogStart != tt.start || o.LogEnd != 20 {
				t.Fatalf("after a restart %+v, want start %d", o, tt.start)
			}
			if a := e.durable(batchAt(record.Options{}, now.Load(), 1, 10), Client); a.BaseOffset() != 20 {
				t.Fatal(a.BaseOffset())
			}
		})
	}
}
