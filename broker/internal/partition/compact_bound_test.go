package partition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// overwrites writes n records over 1,000 keys, a hundred in each batch of an idempotent
// producer.
type overwrites struct {
	n       int
	written int64
	pid     int64
}

const overwrittenKeys = 1000

// batch is the i-th; its records say which it is.
func (o *overwrites) batch(i int) []byte {
	b := record.NewBuilder(record.Options{Idempotent: true, ProducerID: o.pid, BaseSequence: int32(i * 100)})
	now := time.Now().UnixMilli()
	for k := range 100 {
		b.Add(record.Record{Timestamp: now, Key: fmt.Appendf(nil, "key-%d", (i*100+k)%overwrittenKeys), Value: fmt.Appendf(nil, "value-%d", i)})
	}
	return b.Batch()
}

func (o *overwrites) run(e *env) {
	e.Helper()
	var waiting []*Pending
	for i := range o.n / 100 {
		b := o.batch(i)
		o.written += int64(len(b))
		waiting = append(waiting, e.append(b, Client))
		if len(waiting) == 4096 {
			wait(e, waiting[0].Durable())
			waiting = waiting[1:]
		}
	}
	last := waiting[len(waiting)-1]
	wait(e, last.Durable())
	if last.Err() != nil {
		e.Fatal(last.Err())
	}
	if err := e.log.Sync(); err != nil {
		e.Fatal(err)
	}
}

// onDisk is what the partition's directory holds, and how much of it is batches.
func onDisk(t testing.TB, fs fsys.FS) (all, logs int64) {
	t.Helper()
	for _, f := range must(fs.ReadDir("/data/t-0")) {
		all += f.Size
		if strings.Contains(f.Name, ".log") { // also what a compaction is writing
			logs += f.Size
		}
	}
	return all, logs
}

// TestCompactionBoundsDisk overwrites few keys many times: what is left on the disk is
// less than three segments beside the live data, every key has its last value, and the
// producer goes on in its sequence, also when all that was known of it is read again.
func TestCompactionBoundsDisk(t *testing.T) {
	const segment = 128 << 10
	for _, flush := range []commitlog.Flush{commitlog.FlushGroup, commitlog.FlushOS} {
		t.Run(fmt.Sprint(flush), func(t *testing.T) {
			mem := fsys.NewMem()
			e := newEnv(t, func(e *env) {
				e.fs, e.flush = mem, flush
				e.cfg = commitlog.Config{Compact: true, SegmentBytes: segment}
				e.clean = time.Hour // a new segment brings it forward
			})
			o := &overwrites{n: 200_000, pid: 7}
			o.run(e)
			// Nothing is bounded by chance: some twenty segments' worth was written.
			const live, bound = overwrittenKeys * 40, 3*segment + overwrittenKeys*40
			if o.written < 20*segment {
				t.Fatalf("only %d bytes were written", o.written)
			}
			var logs int64
			eventually(t, "less than three segments beside the live data are left", func() bool {
				_ = e.log.Sync()
				_, logs = onDisk(t, mem)
				return logs < bound
			})
			if all, logs := onDisk(t, mem); all-logs > segment/4 {
				t.Errorf("%d bytes of other files", all-logs)
			}
			check := func() {
				t.Helper()
				latest := map[string]string{}
				for _, r := range records(t, e.Partition, ReadUncommitted) {
					latest[r.key] = r.value
				}
				for k := range overwrittenKeys {
					want := fmt.Sprintf("value-%d", (o.n-overwrittenKeys+k)/100)
					if got := latest[fmt.Sprintf("key-%d", k)]; got != want {
						t.Fatalf("key %d has %q, want %q", k, got, want)
					}
				}
				if len(latest) != overwrittenKeys {
					t.Fatalf("%d keys are left", len(latest))
				}
			}
			check()
			e.close()
			for _, f := range must(mem.ReadDir("/data/t-0")) {
				if strings.HasSuffix(f.Name, ".producers") {
					_ = mem.Remove("/data/t-0/" + f.Name)
				}
			}
			e.open()
			check()
			end := e.Offsets().LogEnd
			if a := e.durable(o.batch(o.n/100-1), Client); a.LastOffset() != end-1 {
				t.Errorf("the last batch, sent again, got offset %d", a.BaseOffset())
			}
			if _, err := e.Append(o.batch(o.n/100+1), Client); kafkaCode(err) != record.CodeOutOfOrderSequence {
				t.Errorf("a gap in the sequence: %v", err)
			}
			if a := e.durable(o.batch(o.n/100), Client); a.BaseOffset() != end {
				t.Errorf("the next batch got offset %d, want %d", a.BaseOffset(), end)
			}
		})
	}
}

// BenchmarkCompactionBound overwrites 1,000 keys ten million times on a real disk, in
// segments of 8 MiB, and prints what is left beside the bound of three segments and the
// live data.
func BenchmarkCompactionBound(b *testing.B) {
	const n, segment, live = 10_000_000, 8 << 20, overwrittenKeys * 40
	for b.Loop() {
		dir := b.TempDir()
		e := newEnv(b, func(e *env) {
			e.fs, e.dir = fsys.OS, dir
			e.journal = 32 << 20
			e.cfg = commitlog.Config{Compact: true, SegmentBytes: segment}
			e.clean = time.Hour
		})
		o := &overwrites{n: n, pid: 7}
		began := time.Now()
		o.run(e)
		took := time.Since(began)
		for deadline := time.Now().Add(time.Minute); e.Size() >= 3*segment+live; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				b.Fatalf("%d bytes are left, more than %d", e.Size(), 3*segment+live)
			}
		}
		b.ReportMetric(float64(o.written)/1e6, "MB-written")
		b.ReportMetric(float64(e.Size())/1e6, "MB-left")
		b.ReportMetric(float64(3*segment+live)/1e6, "MB-bound")
		b.ReportMetric(n/took.Seconds(), "records/s")
		e.close()
	}
}
