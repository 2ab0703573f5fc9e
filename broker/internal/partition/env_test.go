package partition

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// env is a file system with a committer and one partition on it.
type env struct {
	testing.TB
	fs    fsys.FS
	flush commitlog.Flush
	cfg   commitlog.Config
	epoch int32
	now   func() time.Time
	// journal and compactMemory are the committer's; 0 = default.
	journal, compactMemory int64
	clean                  time.Duration // between background cleanings; 0 = none
	space                  commitlog.Space
	dir                    string // of the data; "" = /data
	c                      *commitlog.Committer
	*Partition
}

func newEnv(t testing.TB, edit func(*env)) *env {
	e := &env{TB: t, fs: fsys.NewMem()}
	if edit != nil {
		edit(e)
	}
	if e.journal == 0 {
		e.journal = -1
	}
	if e.clean == 0 {
		e.clean = -1
	}
	if e.dir == "" {
		e.dir = "/data"
	}
	e.open()
	t.Cleanup(e.close)
	return e
}

func (e *env) open() {
	e.Helper()
	var err error
	e.c, err = commitlog.NewCommitter(commitlog.CommitterConfig{FS: e.fs, Dir: e.dir, Flush: e.flush, JournalBytes: e.journal, JournalAfter: 3, CleanEvery: e.clean, CompactMemory: e.compactMemory, Space: e.space, Logger: quiet})
	if err != nil {
		e.Fatal(err)
	}
	e.epoch++
	e.Partition, err = Open(Config{FS: e.fs, Dir: e.dir + "/t-0", Topic: "t", TopicID: [16]byte{1}, LeaderEpoch: e.epoch, Log: e.cfg, Committer: e.c, Logger: quiet, Now: e.now})
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) close() {
	if e.Partition != nil {
		_ = e.Partition.Close()
		e.Partition = nil
	}
	_ = e.c.Close()
}

func (e *env) restart() { e.Helper(); e.close(); e.open() }

func batch(n int, size int) []byte { return batchAt(record.Options{}, time.Now().UnixMilli(), n, size) }

func batchAt(o record.Options, ts int64, n, size int) []byte {
	b := record.NewBuilder(o)
	for i := range n {
		b.Add(record.Record{Timestamp: ts + int64(i), Key: fmt.Appendf(nil, "%d", i), Value: bytes.Repeat([]byte{'x'}, size)})
	}
	return b.Batch()
}

func (e *env) append(b []byte, o Origin) *Pending {
	e.Helper()
	a, err := e.Partition.Append(b, o)
	if err != nil {
		e.Fatal(err)
	}
	return a
}

func (e *env) durable(b []byte, o Origin) *Pending {
	e.Helper()
	a := e.append(b, o)
	wait(e, a.Durable())
	if a.Err() != nil {
		e.Fatal(a.Err())
	}
	return a
}

func wait(t testing.TB, c <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(2 * time.Minute)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatal("nothing happened for two minutes")
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen within two minutes that %s", what)
		}
	}
}

func kafkaCode(err error) int16 {
	var e *record.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// offsets returns the offsets of the records in b.
func offsets(t testing.TB, b []byte) []int64 {
	t.Helper()
	var out []int64
	if n := record.Each(b, func(b []byte) bool {
		var r record.Reader
		if err := r.Reset(b, 0); err != nil {
			t.Fatal(err)
		}
		var rec record.Record
		for r.Next(&rec) {
			out = append(out, rec.Offset)
		}
		return true
	}); n != len(b) {
		t.Fatalf("%d bytes are no whole batch", len(b)-n)
	}
	return out
}
