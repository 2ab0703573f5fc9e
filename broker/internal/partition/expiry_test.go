package partition

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestProducersExpire: a producer that was idle for its time is forgotten and may
// begin anywhere; one with an open transaction is not, however long it takes.
func TestProducersExpire(t *testing.T) {
	var now atomic.Int64 // the scrubber asks as well
	now.Store(1_700_000_000_000)
	e := newEnv(t, func(e *env) {
		e.cfg = commitlog.Config{ProducerExpiry: time.Hour}
		e.now = func() time.Time { return time.UnixMilli(now.Load()) }
	})
	send := func(pid int64, seq int32, transactional bool) int16 {
		t.Helper()
		p, err := e.Partition.Append(batchAt(record.Options{
			Idempotent: true, ProducerID: pid, BaseSequence: seq, Transactional: transactional}, now.Load(), 1, 5), Client)
		if err == nil {
			wait(t, p.Durable())
		}
		return kafkaCode(err)
	}
	pass := func(d time.Duration) {
		t.Helper()
		now.Add(d.Milliseconds())
		if err := e.log.Clean(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []struct {
		name  string
		after time.Duration
		pid   int64
		seq   int32
		txn   bool
		want  int16
	}{
		{"a producer", 0, 1, 0, false, 0},
		{"a transaction", 0, 2, 0, true, 0},
		{"a gap within the time", 59 * time.Minute, 1, 5, false, record.CodeOutOfOrderSequence},
		{"it goes on", 0, 1, 1, false, 0},
		{"its time begins anew", 59 * time.Minute, 1, 7, false, record.CodeOutOfOrderSequence},
		{"forgotten", 2 * time.Minute, 1, 7, false, 0},
		{"the open transaction is not", 0, 2, 5, true, record.CodeOutOfOrderSequence},
		{"and goes on", 0, 2, 1, true, 0},
	} {
		pass(s.after)
		if got := send(s.pid, s.seq, s.txn); got != s.want {
			t.Errorf("%s: code %d, want %d", s.name, got, s.want)
		}
	}
}
