package partition

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/clusterlog"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/datadir"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestFullDisk fills a disk by producing. Producers are refused, what the broker
// itself needs goes on in the reserve, and all heals once there is space.
func TestFullDisk(t *testing.T) {
	const reserve = 64 << 10
	mem := fsys.NewMem()
	if err := mem.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(1 << 20)
	r := datadir.OpenReserve(mem, "/data", reserve, time.Millisecond, quiet)
	defer r.Close()
	if free, _ := mem.Free("/data"); free != 1<<20-reserve {
		t.Fatalf("%d bytes are free beside the reserve", free)
	}
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	e := newEnv(t, func(e *env) {
		e.fs, e.space = r, r
		e.cfg = commitlog.Config{SegmentBytes: 100 << 10, RetentionBytes: 300 << 10}
		e.now = func() time.Time { return time.UnixMilli(now.Load()) }
	})
	internal, err := Open(Config{FS: r, Dir: "/data/__consumer_offsets-0", Topic: "__consumer_offsets", TopicID: [16]byte{2}, LeaderEpoch: 1, Internal: true, Committer: e.c, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer internal.Close()
	log, _, err := clusterlog.Open(r, "/data")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()

	idempotent := func(seq int32) []byte {
		return batchAt(record.Options{Idempotent: true, ProducerID: 7, BaseSequence: seq}, now.Load(), 1, 10)
	}
	first := e.durable(idempotent(0), Client)
	acked := first.LastOffset()
	refused := func() error {
		a, err := e.Append(batch(1, 4000), Client)
		if err != nil {
			return err
		}
		wait(t, a.Durable())
		if a.Err() == nil {
			acked = a.LastOffset()
		}
		return a.Err()
	}
	for err = refused(); err == nil; err = refused() {
	}
	if kafkaCode(err) != record.CodeStorageError || !r.Full() {
		t.Fatal("a full disk is answered with", err)
	}
	if end := e.Offsets().LogEnd; end != acked+1 {
		t.Fatalf("the log ends at %d, the last batch that was acknowledged is at %d", end, acked)
	}
	// What producers do meanwhile costs the reserve nothing, and what they did is known.
	e.settleUpkeep() // of the last full segment, which takes some space
	free, _ := mem.Free("/data")
	for range 100 {
		if _, err := e.Append(batch(1, 10), Client); kafkaCode(err) != record.CodeStorageError {
			t.Fatal(err)
		}
	}
	if now, _ := mem.Free("/data"); now < free {
		t.Fatalf("refused batches took %d bytes", free-now)
	}
	if a, err := e.Append(idempotent(0), Client); err != nil || a.BaseOffset() != first.BaseOffset() {
		t.Fatal("a duplicate is refused, as if it were not there:", err)
	}
	// Offsets, markers and topics go on.
	for range 20 {
		a, err := internal.Append(batch(1, 500), Coordinator)
		if err != nil {
			t.Fatal(err)
		}
		if wait(t, a.Durable()); a.Err() != nil {
			t.Fatal(a.Err())
		}
		if err := log.Append(make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
	}
	e.durable(record.EndTxn(9, 0, record.Marker{Commit: true}, now.Load()), Coordinator)
	// So do deletes and retention, which bring the space back.
	if start, err := e.DeleteRecords(acked / 2); err != nil || start != acked/2 {
		t.Fatal(start, err)
	}
	if err := e.log.Clean(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the disk heals", func() bool { return !r.Full() })
	if err := refused(); err != nil {
		t.Fatal(err)
	}
	if free, _ := mem.Free("/data"); free > 1<<20-reserve {
		t.Fatal("the reserve was not taken again")
	}
	end := e.Offsets().LogEnd
	e.restart()
	if o := e.Offsets(); o.LogEnd != end {
		t.Fatalf("%+v, the log ended at %d", o, end)
	}
}

// TestFullDiskFromTheStart: others filled the disk before.
func TestFullDiskFromTheStart(t *testing.T) {
	mem := fsys.NewMem()
	mem.SetCapacity(100 << 10)
	_ = mem.MkdirAll("/data")
	f, err := mem.Create("/other")
	if err == nil {
		_, err = f.WriteAt(make([]byte, 60<<10), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := datadir.OpenReserve(mem, "/data", 64<<10, time.Millisecond, quiet)
	defer r.Close()
	e := newEnv(t, func(e *env) { e.fs, e.space = r, r })
	if _, err := e.Append(batch(1, 10), Client); kafkaCode(err) != record.CodeStorageError {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), mem.Remove("/other")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the disk heals", func() bool { return !r.Full() })
	e.durable(batch(1, 10), Client)
}

// journaled appends a batch and tells whether its round went to the journal. A round is
// counted after it has been acknowledged.
func (e *env) journaled(b []byte) bool {
	e.Helper()
	before := e.c.Stats()
	e.durable(b, Client)
	var after commitlog.Stats
	eventually(e, "the round is counted", func() bool {
		after = e.c.Stats()
		return after.Rounds > before.Rounds
	})
	return after.Journaled > before.Journaled
}

// TestJournalThatIsHalfMade: where the disk got full while the journal was made, a start
// does without it, and makes it once there is space.
func TestJournalThatIsHalfMade(t *testing.T) {
	mem := fsys.NewMem()
	mem.SetCapacity(40 << 10)
	e := newEnv(t, func(e *env) { e.fs, e.journal = mem, 64<<10 })
	journaled := func() bool { return e.journaled(batch(1, 10)) }
	for range 20 {
		if journaled() {
			t.Fatal("a journal was made without space")
		}
	}
	e.close()
	f, err := mem.Create("/data/journal.0") // as a kill in the middle of it leaves it
	if err == nil {
		_, err = f.WriteAt(make([]byte, 10<<10), 0)
	}
	if err = errors.Join(err, mem.SyncDir("/data")); err != nil {
		t.Fatal(err)
	}
	e.open()
	if o := e.Offsets(); o.LogEnd != 20 {
		t.Fatalf("%d of 20 offsets are left", o.LogEnd)
	}
	e.durable(batch(1, 10), Client)
	mem.SetCapacity(0)
	e.restart()
	eventually(t, "rounds go to the journal", journaled)
}

// TestJournalWithoutSpace: a file system that does not write in place may have no
// space for the journal. Rounds sync their segments then, and nothing stops.
func TestJournalWithoutSpace(t *testing.T) {
	var fail atomic.Bool
	mem := fsys.NewMem()
	e := newEnv(t, func(e *env) {
		e.journal = 64 << 10
		e.fs = &fsys.Faulty{FS: mem, Hook: func(c fsys.Call) error {
			if fail.Load() && c.Op == "write" && (c.Name == "/data/journal.0" || c.Name == "/data/journal.1") {
				return fsys.ErrShort
			}
			return nil
		}}
	})
	journaled := func() bool { return e.journaled(batch(1, 400)) } // half of its record is no whole one
	eventually(t, "rounds go to the journal", journaled)
	fail.Store(true)
	for range 300 { // more than the journal would hold
		if journaled() {
			t.Fatal("journaled without space")
		}
	}
	fail.Store(false)
	eventually(t, "rounds go to the journal again", journaled)
	end := e.Offsets().LogEnd
	left := mem.Crash(0) // only what was synced
	e.close()
	e.fs = left
	e.open()
	if o := e.Offsets(); o.LogEnd != end {
		t.Fatalf("%d of %d offsets are left", o.LogEnd, end)
	}
}
