package partition

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

func TestAppendAndRead(t *testing.T) {
	for _, flush := range []commitlog.Flush{commitlog.FlushGroup, commitlog.FlushInterval, commitlog.FlushOS} {
		t.Run(fmt.Sprint(flush), func(t *testing.T) {
			e := newEnv(t, func(e *env) { e.flush = flush; e.cfg.SegmentBytes = 4000 })
			next := int64(0)
			for i := range 40 {
				a := e.durable(batch(i%4+1, 100), Client)
				if a.BaseOffset() != next {
					t.Fatalf("offset %d, want %d", a.BaseOffset(), next)
				}
				next = a.LastOffset() + 1
				if i == 20 {
					e.restart()
				}
			}
			for from := int64(0); from < next; from++ {
				res, err := e.Read(from, 500, ReadUncommitted, true)
				if err != nil {
					t.Fatal(err)
				}
				got := offsets(t, res.Records)
				if len(got) == 0 || got[0] > from || got[len(got)-1] < from || res.HighWatermark != next {
					t.Fatalf("read at %d: %v, high watermark %d", from, got, res.HighWatermark)
				}
				for _, size := range []int{100, 500, 5000} {
					res, err := e.Read(from, size, ReadUncommitted, false)
					if err != nil {
						t.Fatal(err)
					}
					s, _, err := e.Slice(from, size, ReadUncommitted, 300)
					if err != nil || (s.Len == 0) != (len(res.Records) < 300) {
						t.Fatalf("slice of %d bytes at %d: %d, read: %d, %v", size, from, s.Len, len(res.Records), err)
					}
					if s.Len == 0 {
						continue
					}
					b := make([]byte, s.Len)
					if _, err := s.File.ReadAt(b, s.Pos); err != nil {
						t.Fatal(err)
					}
					s.Release()
					if all := offsets(t, b); !bytes.Equal(b, res.Records) || s.Next != all[len(all)-1]+1 {
						t.Fatalf("slice of %d bytes at %d, to %d, differs from read", size, from, s.Next)
					}
				}
			}
			for _, bad := range []int64{-1, next + 1} {
				if _, err := e.Read(bad, 100, ReadUncommitted, true); kafkaCode(err) != record.CodeOffsetOutOfRange {
					t.Fatalf("read at %d: %v", bad, err)
				}
			}
			if res, err := e.Read(next, 100, ReadUncommitted, true); err != nil || len(res.Records) != 0 {
				t.Fatal(res, err)
			}
		})
	}
}

func TestReadKeepsToItsSize(t *testing.T) {
	e := newEnv(t, nil)
	var sizes []int
	for range 5 {
		b := batch(1, 1000)
		sizes = append(sizes, len(b))
		e.durable(b, Client)
	}
	for max := range 4000 {
		res, err := e.Read(1, max, ReadUncommitted, false)
		if err != nil {
			t.Fatal(err)
		}
		if want := max / sizes[0]; len(offsets(t, res.Records)) != want {
			t.Fatalf("%d bytes: %d batches, want %d", max, len(offsets(t, res.Records)), want)
		}
		if max < sizes[0] {
			if res, err = e.Read(1, max, ReadUncommitted, true); err != nil || len(offsets(t, res.Records)) != 1 {
				t.Fatalf("%d bytes, at least one: %d, %v", max, len(offsets(t, res.Records)), err)
			}
		}
	}
}

func TestLeaderEpochs(t *testing.T) {
	e := newEnv(t, nil)
	e.durable(batch(2, 10), Client) // epoch 1: 0-1
	e.restart()
	e.restart()
	e.durable(batch(3, 10), Client) // epoch 3: 2-4
	for e.epoch < 7 {
		e.restart()
	}
	e.durable(batch(1, 10), Client) // epoch 7: 5
	for _, tt := range []struct {
		ask, epoch int32
		end        int64
	}{{0, -1, -1}, {1, 1, 2}, {2, 1, 2}, {3, 3, 5}, {6, 3, 5}, {7, 7, 6}, {8, -1, -1}} {
		if epoch, end := e.EpochEnd(tt.ask); epoch != tt.epoch || end != tt.end {
			t.Errorf("epoch %d: %d ends at %d, want %d, %d", tt.ask, epoch, end, tt.epoch, tt.end)
		}
	}
	if e.EpochAt(1) != 1 || e.EpochAt(2) != 3 || e.EpochAt(5) != 7 {
		t.Error("epochs at offsets")
	}
	res, _ := e.Read(2, 1000, ReadUncommitted, true)
	if info, _ := record.ParseHeader(res.Records); info.LeaderEpoch != 3 {
		t.Errorf("batch has epoch %d", info.LeaderEpoch)
	}
}

func TestIdempotence(t *testing.T) {
	e := newEnv(t, nil)
	send := func(epoch int16, seq int32, n int) (*Pending, error) {
		return e.Partition.Append(batchAt(record.Options{Idempotent: true, ProducerID: 9, ProducerEpoch: epoch, BaseSequence: seq}, time.Now().UnixMilli(), n, 5), Client)
	}
	type step struct {
		name   string
		epoch  int16
		seq    int32
		n      int
		offset int64
		code   int16
	}
	steps := []step{
		{"unknown producer, any sequence", 0, 5, 2, 0, 0},
		{"next", 0, 7, 1, 2, 0},
		{"duplicate", 0, 5, 2, 0, 0},
		{"gap", 0, 9, 1, 0, record.CodeOutOfOrderSequence},
		{"same first, other last", 0, 7, 2, 0, record.CodeOutOfOrderSequence},
		{"b", 0, 8, 1, 3, 0}, {"c", 0, 9, 1, 4, 0}, {"d", 0, 10, 1, 5, 0},
		{"oldest in the window", 0, 5, 2, 0, 0},
		{"e", 0, 11, 1, 6, 0},
		{"out of the window", 0, 5, 2, 0, record.CodeOutOfOrderSequence},
		{"new epoch must begin at 0", 1, 12, 1, 0, record.CodeOutOfOrderSequence},
		{"new epoch", 1, 0, 3, 7, 0},
		{"old epoch", 0, 12, 1, 0, record.CodeInvalidProducerEpoch},
		{"new epoch's duplicate", 1, 0, 3, 7, 0},
	}
	run := func(steps []step) {
		t.Helper()
		for _, s := range steps {
			a, err := send(s.epoch, s.seq, s.n)
			if kafkaCode(err) != s.code {
				t.Fatalf("%s: %v", s.name, err)
			}
			if err == nil {
				wait(t, a.Durable())
				if a.BaseOffset() != s.offset || a.Err() != nil {
					t.Fatalf("%s: offset %d, want %d, %v", s.name, a.BaseOffset(), s.offset, a.Err())
				}
			}
		}
	}
	run(steps)
	e.restart()
	run([]step{{"duplicate after a restart", 1, 0, 3, 7, 0}, {"next after a restart", 1, 3, 1, 10, 0}})
	if n := e.Offsets().LogEnd; n != 11 {
		t.Fatal(n)
	}
}

func TestSequenceWraps(t *testing.T) {
	e := newEnv(t, nil)
	send := func(seq int32, n int) *Pending {
		return e.durable(batchAt(record.Options{Idempotent: true, ProducerID: 9, BaseSequence: seq}, time.Now().UnixMilli(), n, 5), Client)
	}
	send(1<<31-2, 1)
	send(1<<31-1, 1)
	send(0, 2)
	send(2, 1)
	if a := send(1<<31-1, 1); a.BaseOffset() != 1 {
		t.Fatal(a.BaseOffset())
	}
}

// TestDuplicateWaits: a duplicate of a batch that is not durable yet is that batch.
func TestDuplicateWaits(t *testing.T) {
	gate := make(chan struct{})
	var once sync.Once
	e := newEnv(t, func(e *env) {
		e.fs = &fsys.Faulty{FS: e.fs, Hook: func(c fsys.Call) error {
			if c.Op == "sync" && bytes.HasSuffix([]byte(c.Name), []byte(".log")) {
				<-gate
			}
			return nil
		}}
	})
	defer once.Do(func() { close(gate) })
	b := batchAt(record.Options{Idempotent: true, ProducerID: 9}, time.Now().UnixMilli(), 1, 5)
	first := e.append(bytes.Clone(b), Client)
	wait(t, first.Written())
	again := e.append(b, Client)
	if again != first {
		t.Fatal("the duplicate has a life of its own")
	}
	select {
	case <-again.Durable():
		t.Fatal("durable before the sync")
	default:
	}
	if o := e.Offsets(); o.HighWatermark != 0 || o.LogEnd != 1 {
		t.Fatalf("%+v", o)
	}
	if res, err := e.Read(0, 1000, ReadUncommitted, true); err != nil || len(res.Records) != 0 {
		t.Fatal("read what is not durable", err)
	}
	once.Do(func() { close(gate) })
	wait(t, again.Durable())
}

func TestTransactions(t *testing.T) {
	e := newEnv(t, nil)
	data := func(pid int64, seq int32, n int) *Pending {
		return e.durable(batchAt(record.Options{Idempotent: true, Transactional: true, ProducerID: pid, BaseSequence: seq}, time.Now().UnixMilli(), n, 5), Client)
	}
	end := func(pid int64, commit bool) *Pending {
		return e.durable(record.EndTxn(pid, 0, record.Marker{Commit: commit, CoordinatorEpoch: 1}, time.Now().UnixMilli()), Coordinator)
	}
	stable := func(want int64) {
		t.Helper()
		if o := e.Offsets(); o.LastStable != want {
			t.Fatalf("last stable offset %d, want %d", o.LastStable, want)
		}
	}
	data(1, 0, 2) // 0-1
	data(2, 0, 1) // 2
	stable(0)
	e.durable(batch(1, 5), Client) // 3
	end(1, false)                  // 4
	stable(2)
	data(1, 2, 1) // 5
	end(2, true)  // 6
	stable(5)
	end(1, false) // 7
	stable(8)
	if !e.OpenTxn(1) == e.OpenTxn(2) && e.OpenTxn(1) {
		t.Fatal("transactions are still open")
	}
	check := func() {
		t.Helper()
		res, err := e.Read(0, 10000, ReadCommitted, true)
		if err != nil || len(offsets(t, res.Records)) != 8 {
			t.Fatal(res, err)
		}
		if want := []AbortedTxn{{1, 0}, {1, 5}}; fmt.Sprint(res.Aborted) != fmt.Sprint(want) {
			t.Fatalf("aborted %v, want %v", res.Aborted, want)
		}
		if res, _ := e.Read(5, 10000, ReadCommitted, true); fmt.Sprint(res.Aborted) != fmt.Sprint([]AbortedTxn{{1, 5}}) {
			t.Fatalf("aborted from 5: %v", res.Aborted)
		}
	}
	check()
	data(3, 0, 1) // 8, stays open
	stable(8)
	e.restart()
	stable(8)
	check()
	if !e.OpenTxn(3) {
		t.Fatal("the open transaction is forgotten")
	}
	if _, err := e.Partition.Append(batchAt(record.Options{Idempotent: true, ProducerID: 3, BaseSequence: 1}, time.Now().UnixMilli(), 1, 5), Client); kafkaCode(err) != record.CodeInvalidTxnState {
		t.Fatal(err)
	}
	if _, err := e.Partition.Append(record.EndTxn(1, 0, record.Marker{CoordinatorEpoch: 0}, 5), Coordinator); kafkaCode(err) != record.CodeTransactionCoordinatorLost {
		t.Fatal(err)
	}
	end(3, true)
	stable(10)
}

// TestAbortedOutlivesItsSegment: a reader that has the batches of a transaction which was
// aborted is told so, also when their segment is removed before it has asked.
func TestAbortedOutlivesItsSegment(t *testing.T) {
	for name, read := range map[string]func(e *env) ([]AbortedTxn, error){
		"read": func(e *env) ([]AbortedTxn, error) {
			res, err := e.Read(0, 10, ReadCommitted, true)
			return res.Aborted, err
		},
		"slice": func(e *env) ([]AbortedTxn, error) {
			s, res, err := e.Slice(0, 300, ReadCommitted, 1)
			s.Release()
			return res.Aborted, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var during atomic.Pointer[func()]
			e := newEnv(t, func(e *env) {
				e.cfg = commitlog.Config{SegmentBytes: 300}
				e.fs = &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
					if c.Op == "read" && strings.HasSuffix(c.Name, "/00000000000000000000.log") {
						if f := during.Swap(nil); f != nil {
							(*f)()
						}
					}
					return nil
				}}
			})
			e.durable(batchAt(record.Options{Idempotent: true, Transactional: true, ProducerID: 1}, time.Now().UnixMilli(), 1, 5), Client)
			e.durable(record.EndTxn(1, 0, record.Marker{}, time.Now().UnixMilli()), Coordinator)
			e.durable(batch(1, 200), Client) // a segment of its own
			e.settleUpkeep()
			before := e.Size()
			remove := func() {
				if _, err := e.DeleteRecords(2); err != nil {
					t.Error(err)
				}
			}
			during.Store(&remove)
			aborted, err := read(e)
			if want := []AbortedTxn{{1, 0}}; err != nil || fmt.Sprint(aborted) != fmt.Sprint(want) {
				t.Errorf("aborted %v, %v; want %v", aborted, err, want)
			}
			if e.Size() == before {
				t.Error("the segment was not removed meanwhile")
			}
		})
	}
}

// TestProducersAreDurable: a producer's sequence and the offset of its transaction are
// told once the high watermark has passed them, or not at all.
func TestProducersAreDurable(t *testing.T) {
	var held atomic.Bool
	release := make(chan struct{})
	e := newEnv(t, func(e *env) {
		e.fs = &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
			if c.Op == "sync" && held.Load() {
				<-release
				return fsys.ErrIO
			}
			return nil
		}}
	})
	data := func(pid int64, seq int32) []byte {
		return batchAt(record.Options{Idempotent: true, Transactional: true, ProducerID: pid, BaseSequence: seq}, time.Now().UnixMilli(), 1, 5)
	}
	e.durable(data(1, 0), Client)
	infos, err := e.Producers(t.Context())
	if err != nil || len(infos) != 1 || infos[0].LastSequence != 0 || infos[0].TxnStartOffset != 0 {
		t.Fatalf("%+v, %v", infos, err)
	}
	held.Store(true)
	e.append(data(1, 1), Client)
	e.append(data(2, 0), Client)
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	if infos, err := e.Producers(soon); kafkaCode(err) != record.CodeRequestTimedOut {
		t.Errorf("what is not durable was told: %+v, %v", infos, err)
	}
	close(release) // and the sync fails
	if infos, err := e.Producers(t.Context()); err == nil {
		t.Errorf("what was never durable was told: %+v", infos)
	}
}

func TestClientRules(t *testing.T) {
	cfg := commitlog.Config{Compact: true, MaxBatchBytes: 300}
	e := newEnv(t, func(e *env) { e.cfg = cfg })
	two := append(batch(1, 5), batch(1, 5)...)
	nokey := record.NewBuilder(record.Options{})
	nokey.Add(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte("v")})
	for name, tt := range map[string]struct {
		batch  []byte
		origin Origin
		code   int16
	}{
		"two batches":             {two, Client, record.CodeInvalidRecord},
		"nothing":                 {nil, Client, record.CodeCorruptMessage},
		"too large":               {batch(1, 400), Client, record.CodeMessageTooLarge},
		"keyless":                 {nokey.Batch(), Client, record.CodeInvalidRecord},
		"from the future":         {batchAt(record.Options{}, time.Now().Add(2*time.Hour).UnixMilli(), 1, 5), Client, record.CodeInvalidTimestamp},
		"marker from a client":    {record.EndTxn(1, 0, record.Marker{}, 5), Client, record.CodeInvalidRecord},
		"keyless from the broker": {nokey.Batch(), Coordinator, 0},
		"two from the broker":     {append(batch(1, 5), batch(1, 5)...), Coordinator, 0},
	} {
		if _, err := e.Partition.Append(bytes.Clone(tt.batch), tt.origin); kafkaCode(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogAppendTimeAndCompression(t *testing.T) {
	zstd := record.Zstd
	now := time.UnixMilli(5_000_000)
	e := newEnv(t, func(e *env) {
		e.cfg = commitlog.Config{LogAppendTime: true, Compression: &zstd}
		e.now = func() time.Time { return now }
	})
	a := e.durable(batchAt(record.Options{Codec: record.Gzip}, 17, 20, 50), Client)
	if a.LogAppendTime() != 5_000_000 {
		t.Fatal(a.LogAppendTime())
	}
	res, err := e.Read(0, 100000, ReadUncommitted, true)
	if err != nil {
		t.Fatal(err)
	}
	info, err := record.Validate(res.Records, &record.Rules{Inner: true})
	if err != nil || info.Codec() != record.Zstd || !info.LogAppendTime() || info.MaxTimestamp != 5_000_000 || info.Count != 20 {
		t.Fatalf("%+v %v", info, err)
	}
}

func TestOffsetForTime(t *testing.T) {
	now := time.UnixMilli(10_000)
	e := newEnv(t, func(e *env) {
		e.cfg = commitlog.Config{SegmentBytes: 1500, IndexInterval: 100}
		e.now = func() time.Time { return now }
	})
	// Timestamps that go up and down: batch i has 3 records from times[i] on.
	times := []int64{100, 200, 150, 300, 120, 500, 400, 450, 600, 50, 590, 610}
	var recs []commitlog.Found
	for i, ts := range times {
		e.durable(batchAt(record.Options{Codec: record.Codec(i % 5)}, ts, 3, 60), Client)
		for k := range int64(3) {
			recs = append(recs, commitlog.Found{Offset: int64(i)*3 + k, Timestamp: ts + k})
		}
	}
	check := func() {
		t.Helper()
		for ts := int64(0); ts < 700; ts++ {
			want := commitlog.Found{Offset: -1, Timestamp: -1}
			for _, r := range recs {
				if r.Timestamp >= ts {
					want = r
					break
				}
			}
			off, got, _, err := e.OffsetForTime(ts)
			if err != nil || off != want.Offset || got != want.Timestamp {
				t.Fatalf("time %d: offset %d, timestamp %d, %v; want %+v", ts, off, got, err, want)
			}
		}
		if off, ts, _, err := e.MaxTimestamp(); off != 35 || ts != 612 || err != nil {
			t.Fatal(off, ts, err)
		}
	}
	check()
	e.restart()
	check()
	if start, err := e.DeleteRecords(16); start != 16 || err != nil {
		t.Fatal(start, err)
	}
	recs = recs[16:]
	check()
}

func TestDeleteRecords(t *testing.T) {
	e := newEnv(t, func(e *env) { e.cfg.SegmentBytes = 500 })
	for range 20 {
		e.durable(batch(2, 50), Client)
	}
	size := e.Size()
	if start, err := e.DeleteRecords(31); start != 31 || err != nil {
		t.Fatal(start, err)
	}
	if start, err := e.DeleteRecords(10); start != 31 || err != nil {
		t.Fatal("the start went back", start, err)
	}
	for _, bad := range []int64{41, -2} {
		if _, err := e.DeleteRecords(bad); kafkaCode(err) != record.CodeOffsetOutOfRange {
			t.Fatal(bad, err)
		}
	}
	if _, err := e.Read(30, 100, ReadUncommitted, true); kafkaCode(err) != record.CodeOffsetOutOfRange {
		t.Fatal(err)
	}
	e.restart()
	if o := e.Offsets(); o.LogStart != 31 || o.HighWatermark != 40 {
		t.Fatalf("%+v", o)
	}
	if e.Size() >= size {
		t.Error("no segment was removed")
	}
	if start, err := e.DeleteRecords(-1); start != 40 || err != nil {
		t.Fatal(start, err)
	}
	e.restart()
	if a := e.durable(batch(1, 1), Client); a.BaseOffset() != 40 {
		t.Fatal(a.BaseOffset())
	}
}

func TestDelete(t *testing.T) {
	e := newEnv(t, nil)
	e.durable(batch(1, 1), Client)
	w := NewWaiter(1 << 20)
	e.Notify(w, ReadUncommitted)
	if err := e.Partition.Delete(); err != nil {
		t.Fatal(err)
	}
	wait(t, w.c)
	if _, err := e.Partition.Append(batch(1, 1), Client); kafkaCode(err) != record.CodeUnknownTopicOrPartition {
		t.Fatal(err)
	}
	if _, err := e.Read(0, 1, ReadUncommitted, true); kafkaCode(err) != record.CodeUnknownTopicOrPartition {
		t.Fatal(err)
	}
	if es, err := e.fs.ReadDir("/data"); err != nil || len(es) != 0 {
		t.Fatal(es, err)
	}
	e.restart()
	if o := e.Offsets(); o.LogEnd != 0 {
		t.Fatalf("%+v", o)
	}
}

// TestBytesOfAWriteUnderWay: a data directory that becomes read-only fails at once what
// is being written, but the bytes are not their owner's again: the write reads them.
func TestBytesOfAWriteUnderWay(t *testing.T) {
	writing, gate := make(chan struct{}), make(chan struct{})
	var first sync.Once
	e := newEnv(t, func(e *env) {
		e.fs = &fsys.Faulty{FS: e.fs, Hook: func(c fsys.Call) error {
			if c.Op == "write" && strings.HasSuffix(c.Name, ".log") {
				first.Do(func() { close(writing) })
				<-gate
			}
			return nil
		}}
	})
	a := e.append(batch(1, 5), Client)
	<-writing
	e.c.Fail(fsys.ErrIO)
	wait(t, a.Written())
	wait(t, a.Durable())
	if free, done := a.Progress(); free || !done || a.Err() == nil {
		t.Errorf("the bytes are free: %v, it is done: %v, %v", free, done, a.Err())
	}
	close(gate)
}

func TestAnotherTopicsDirectoryIsRefused(t *testing.T) {
	e := newEnv(t, nil)
	e.close()
	c, _ := commitlog.NewCommitter(commitlog.CommitterConfig{FS: e.fs, Dir: "/data"})
	defer c.Close()
	if _, err := Open(Config{FS: e.fs, Dir: "/data/t-0", TopicID: [16]byte{2}, Committer: c}); err == nil {
		t.Fatal("opened another topic's partition")
	}
	if _, err := Open(Config{FS: e.fs, Dir: "/data/t-0", TopicID: [16]byte{1}, Committer: c}); err != nil {
		t.Fatal(err)
	}
	e.open()
}
