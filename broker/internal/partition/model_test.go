package partition

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// The model of what a workload has done to some partitions, to check what is found
// after a crash against it.

// attempt is a batch that was appended: what it says, and whether the append was
// acknowledged as durable.
type attempt struct {
	base, last int64
	id         string // the value of every record in it
	pid        int64
	seq        int32
	txn        bool
	marker     *record.Marker
	acked      bool
	shown      bool // recovery found it, and made it durable
	pending    *Pending
}

// modelPartition is one partition's history.
type modelPartition struct {
	attempts []*attempt // in order of append; failed ones may overlap later ones
	start    int64      // largest log start that was acknowledged
	seqs     map[int64]int32
	inTxn    map[int64]bool
}

type model struct {
	mu    sync.Mutex
	parts []*modelPartition
	ids   int
}

func newModel(n int) *model {
	m := &model{}
	for range n {
		m.parts = append(m.parts, &modelPartition{seqs: map[int64]int32{}, inTxn: map[int64]bool{}})
	}
	return m
}

// clone copies the model as of now; attempts' acked flags are frozen. m.mu is held,
// unless no one else uses m.
func (m *model) clone() *model {
	c := &model{ids: m.ids}
	for _, p := range m.parts {
		q := &modelPartition{start: p.start, seqs: maps.Clone(p.seqs), inTxn: maps.Clone(p.inTxn)}
		for _, a := range p.attempts {
			b := *a
			q.attempts = append(q.attempts, &b)
		}
		c.parts = append(c.parts, q)
	}
	return c
}

// openTxns tells whether a transaction is open in a partition.
func (m *model) openTxns() bool {
	for _, p := range m.parts {
		open := map[int64]bool{}
		for _, a := range p.attempts {
			if a.txn || a.marker != nil {
				open[a.pid] = a.txn
			}
		}
		for _, is := range open {
			if is {
				return true
			}
		}
	}
	return false
}

// forgetAcks keeps only the promises that recovery made.
func (m *model) forgetAcks() {
	for _, p := range m.parts {
		for _, a := range p.attempts {
			a.acked = a.shown
		}
	}
}

// world is a set of partitions on a file system.
type world struct {
	t     testing.TB
	fs    fsys.FS
	cfg   commitlog.Config
	flush commitlog.Flush
	// journal is the size of the commit journal, small enough to wrap often.
	journal int64
	// large is the size of an append that is written by whoever brought it; 0 = as in
	// the broker, where only flush policies without syncs do so with small ones.
	large int64
	epoch int32
	c     *commitlog.Committer
	parts []*Partition
	model *model
	rng   *rand.Rand
}

func (w *world) open() error {
	var err error
	w.c, err = commitlog.NewCommitter(commitlog.CommitterConfig{FS: w.fs, Dir: "/data", Flush: w.flush, MarkBytes: 3000, JournalBytes: w.journal, JournalAfter: 3, LargeWrite: w.large, Logger: quiet})
	if err != nil {
		return err
	}
	w.epoch++
	w.parts = nil
	for i := range w.model.parts {
		p, err := Open(Config{
			FS: w.fs, Dir: fmt.Sprintf("/data/t-%d", i), Topic: "t", Index: int32(i), TopicID: [16]byte{1}, LeaderEpoch: w.epoch,
			Log: w.cfg, Committer: w.c, Logger: quiet,
		})
		if err != nil {
			w.close()
			return err
		}
		w.parts = append(w.parts, p)
	}
	return nil
}

func (w *world) close() {
	for _, p := range w.parts {
		_ = p.Close()
	}
	_ = w.c.Close()
}

// step does one random thing.
func (w *world) step() {
	i := w.rng.IntN(len(w.parts))
	p, mp := w.parts[i], w.model.parts[i]
	switch r := w.rng.IntN(100); {
	case r < 25:
		w.append(p, mp, record.Options{}, nil)
	case r < 50:
		w.append(p, mp, record.Options{Idempotent: true, ProducerID: int64(10 + w.rng.IntN(2))}, nil)
	case r < 65:
		w.append(p, mp, record.Options{Idempotent: true, Transactional: true, ProducerID: int64(20 + w.rng.IntN(3))}, nil)
	case r < 75:
		pid := int64(20 + w.rng.IntN(3))
		w.append(p, mp, record.Options{ProducerID: pid}, &record.Marker{Commit: w.rng.IntN(2) == 0, CoordinatorEpoch: 1})
	case r < 78:
		o := p.Offsets()
		to := o.LogStart
		if span := o.HighWatermark - o.LogStart; span > 0 {
			to += w.rng.Int64N(min(span, 20) + 1)
		}
		if start, err := p.DeleteRecords(to); err == nil {
			w.model.mu.Lock()
			mp.start = max(mp.start, start)
			w.model.mu.Unlock()
		}
	case r < 80:
		_ = p.log.Clean() // a fault makes it fail; it is tried again later
	default:
		w.settle(mp, w.rng.IntN(4))
	}
}

// append appends one batch with one to three records, or a marker.
func (w *world) append(p *Partition, mp *modelPartition, o record.Options, marker *record.Marker) {
	w.model.mu.Lock()
	w.model.ids++
	a := &attempt{id: fmt.Sprintf("v%d", w.model.ids), pid: -1, seq: -1, marker: marker, txn: o.Transactional}
	w.model.mu.Unlock()
	var b []byte
	origin := Client
	n := w.rng.IntN(3) + 1
	if marker != nil {
		a.pid = o.ProducerID
		b, origin, n = record.EndTxn(o.ProducerID, 0, *marker, 1000), Coordinator, 1
	} else {
		if o.Idempotent {
			a.pid, a.seq = o.ProducerID, mp.seqs[o.ProducerID]
			o.BaseSequence = a.seq
		}
		bl := record.NewBuilder(o)
		for range n {
			bl.Add(record.Record{Timestamp: int64(1000 + w.rng.IntN(100)), Value: append([]byte(a.id+" "), bytes.Repeat([]byte{'.'}, w.rng.IntN(400))...)})
		}
		b = bl.Batch()
	}
	// The model must know of the batch before a cut can find it, which is while it is
	// being appended: nobody else appends, so its offsets are known.
	end := p.Offsets().LogEnd
	w.model.mu.Lock()
	a.base, a.last = end, end+int64(n)-1
	mp.attempts = append(mp.attempts, a)
	w.model.mu.Unlock()
	pending, err := p.Append(b, origin)
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	if err != nil {
		mp.attempts = mp.attempts[:len(mp.attempts)-1]
		var k *record.Error
		if !errors.As(err, &k) {
			w.t.Fatalf("append: %v", err)
		}
		return
	}
	a.pending, a.base, a.last = pending, pending.BaseOffset(), pending.LastOffset()
	if a.seq >= 0 {
		mp.seqs[a.pid] = record.AddSequence(a.seq, int32(n))
	}
}

// settle waits until at most keep appends of the partition are in flight.
func (w *world) settle(mp *modelPartition, keep int) {
	var open []*attempt
	for _, a := range mp.attempts {
		if a.pending != nil {
			open = append(open, a)
		}
	}
	for _, a := range open[:max(0, len(open)-keep)] {
		wait(w.t, a.pending.Durable())
		err := a.pending.Err()
		w.model.mu.Lock()
		a.acked, a.pending = err == nil, nil
		w.model.mu.Unlock()
		if err != nil {
			mp.resync(a)
		}
	}
}

// resync makes a producer go on where its failed batch was.
func (mp *modelPartition) resync(a *attempt) {
	if a.seq >= 0 && a.seq < mp.seqs[a.pid] {
		mp.seqs[a.pid] = a.seq
	}
}

// stored is a batch as it was found.
type stored struct {
	info   record.Info
	id     string
	marker *record.Marker
}

func readAll(t testing.TB, p *Partition) []stored {
	t.Helper()
	var out []stored
	for next := p.Offsets().LogStart; ; {
		res, err := p.Read(next, 2000, ReadUncommitted, true)
		if err != nil {
			t.Fatalf("read at %d: %v", next, err)
		}
		if len(res.Records) == 0 {
			if next != res.HighWatermark {
				t.Fatalf("nothing at %d, high watermark %d", next, res.HighWatermark)
			}
			return out
		}
		record.Each(res.Records, func(b []byte) bool {
			info, err := record.Validate(b, &record.Rules{Inner: true})
			if err != nil {
				t.Fatalf("batch at %d: %v", next, err)
			}
			s := stored{info: info}
			var r record.Reader
			var rec record.Record
			if err := r.Reset(b, 0); err != nil {
				t.Fatal(err)
			}
			if info.Control() {
				m, _, err := record.ParseMarker(b)
				if err != nil {
					t.Fatal(err)
				}
				s.marker = &m
			}
			for r.Next(&rec) {
				id, _, _ := bytes.Cut(rec.Value, []byte(" "))
				if s.id != "" && s.id != string(id) {
					t.Fatalf("batch at %d is mixed", next)
				}
				s.id = string(id)
			}
			out = append(out, s)
			next = info.NextOffset()
			return true
		})
	}
}

// check holds partition i, just recovered, against the model, and makes the model
// what was found: from now on that must stay.
func (w *world) check(i int, faults bool) {
	w.t.Helper()
	p, mp := w.parts[i], w.model.parts[i]
	o := p.Offsets()
	if o.LogStart < mp.start {
		w.t.Fatalf("partition %d: log start %d, %d was acknowledged", i, o.LogStart, mp.start)
	}
	found := readAll(w.t, p)
	at := map[int64]*stored{}
	for k := range found {
		at[found[k].info.BaseOffset] = &found[k]
	}
	for _, a := range mp.attempts {
		if !a.acked || a.last < o.LogStart {
			continue
		}
		if s := at[a.base]; s == nil || !same(a, s) {
			w.t.Fatalf("partition %d: acknowledged batch %s at %d is lost (found %+v; %+v)", i, a.id, a.base, s, o)
		}
	}
	// What is found was appended, at that offset.
	var kept []*attempt
	next := int64(-1)
	for k := range found {
		s := &found[k]
		if next >= 0 && s.info.BaseOffset != next {
			w.t.Fatalf("partition %d: offset %d follows %d", i, s.info.BaseOffset, next)
		}
		next = s.info.NextOffset()
		j := slices.IndexFunc(mp.attempts, func(a *attempt) bool { return a.base == s.info.BaseOffset && same(a, s) })
		if j < 0 {
			for _, a := range mp.attempts {
				if a.last >= s.info.BaseOffset-3 && a.base < s.info.BaseOffset+3 {
					w.t.Logf("attempt %+v", *a)
				}
			}
			w.t.Fatalf("partition %d: batch %q %+v marker %+v was never appended there", i, s.id, s.info, s.marker)
		}
		a := *mp.attempts[j]
		a.acked, a.shown, a.pending = true, true, nil
		kept = append(kept, &a)
		if !faults && !slices.IsSortedFunc(kept, func(a, b *attempt) int { return int(a.base - b.base) }) {
			w.t.Fatal("order")
		}
	}
	w.checkTxns(p, found)
	mp.attempts, mp.start = kept, o.LogStart
	w.checkProducers(p, mp, found)
}

func same(a *attempt, s *stored) bool {
	if a.marker != nil || s.marker != nil {
		return a.marker != nil && s.marker != nil && *a.marker == *s.marker && a.pid == s.info.ProducerID
	}
	return a.id == s.id && a.last == s.info.LastOffset()
}

// checkTxns computes open and aborted transactions from the batches and compares.
// Transactions that began below the log start are left out.
func (w *world) checkTxns(p *Partition, found []stored) {
	w.t.Helper()
	o := p.Offsets()
	first := map[int64]int64{}
	var aborted []AbortedTxn
	for k := range found {
		s := &found[k]
		pid := s.info.ProducerID
		if s.marker != nil {
			if f, ok := first[pid]; ok && !s.marker.Commit {
				aborted = append(aborted, AbortedTxn{pid, f})
			}
			delete(first, pid)
		} else if s.info.Transactional() {
			if _, ok := first[pid]; !ok {
				first[pid] = s.info.BaseOffset
			}
		}
	}
	stable := o.HighWatermark
	for _, f := range first {
		stable = min(stable, f)
	}
	for _, info := range stagedProducers(p) { // a transaction may reach back beyond the log start
		if info.TxnStartOffset >= 0 && info.TxnStartOffset < o.LogStart {
			stable = o.LogStart
		}
	}
	if o.LastStable != stable {
		w.t.Fatalf("last stable offset %d, computed %d (%+v; %+v)", o.LastStable, stable, o, stagedProducers(p))
	}
	slices.SortFunc(aborted, func(a, b AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
	var got []AbortedTxn
	told := w.abortedTold(p, o)
	for _, a := range told {
		if a.FirstOffset >= o.LogStart {
			got = append(got, a)
		}
	}
	for _, a := range aborted {
		if !slices.Contains(got, a) && !reachesBack(told, a, o) {
			w.t.Fatalf("aborted transactions %v, computed %v", got, aborted)
		}
	}
	for _, a := range got {
		if !slices.Contains(aborted, a) {
			w.t.Fatalf("aborted transactions %v, computed %v", got, aborted)
		}
	}
}

// abortedTold are the aborted transactions that readers of all of the log are told of.
func (w *world) abortedTold(p *Partition, o Offsets) (told []AbortedTxn) {
	w.t.Helper()
	for at := o.LogStart; at < o.HighWatermark; {
		var txns []commitlog.AbortedTxn
		_, next, err := p.log.Read(commitlog.ReadRequest{Offset: at, Limit: o.HighWatermark, MaxBytes: 1 << 20, MinOne: true, Aborted: &txns})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, t := range txns {
			if a := (AbortedTxn{t.ProducerID, t.First}); !slices.Contains(told, a) {
				told = append(told, a)
			}
		}
		if next == at {
			break // the rest was compacted away
		}
		at = next
	}
	return told
}

func stagedProducers(p *Partition) []commitlog.ProducerInfo {
	infos, _, _ := p.stagedProducers()
	return infos
}

// reachesBack tells whether the transaction is known under a first offset below
// the log start.
func reachesBack(told []AbortedTxn, a AbortedTxn, o Offsets) bool {
	for _, x := range told {
		if x.ProducerID == a.ProducerID && x.FirstOffset < o.LogStart {
			return true
		}
	}
	return false
}

// checkProducers sends duplicates of what was found, and computes where each
// producer goes on.
func (w *world) checkProducers(p *Partition, mp *modelPartition, found []stored) {
	w.t.Helper()
	known := map[int64]bool{}
	for _, info := range stagedProducers(p) {
		known[info.ProducerID] = true
		if info.LastSequence >= 0 {
			mp.seqs[info.ProducerID] = record.AddSequence(info.LastSequence, 1)
		} else {
			mp.seqs[info.ProducerID] = 0
		}
	}
	for pid := range mp.seqs {
		if !known[pid] {
			mp.seqs[pid] = 0
		}
	}
	last := map[int64][]*stored{}
	for k := range found {
		if s := &found[k]; s.info.Idempotent() && s.marker == nil {
			last[s.info.ProducerID] = append(last[s.info.ProducerID], s)
		}
	}
	for pid, all := range last {
		if want := record.AddSequence(all[len(all)-1].info.LastSequence(), 1); mp.seqs[pid] != want {
			w.t.Fatalf("producer %d goes on at %d, computed %d", pid, mp.seqs[pid], want)
		}
		for _, s := range all[max(0, len(all)-5):] {
			b := record.NewBuilder(record.Options{Idempotent: true, Transactional: s.info.Transactional(), ProducerID: pid, BaseSequence: s.info.BaseSequence})
			for range s.info.Count {
				b.Add(record.Record{Timestamp: 1000})
			}
			a, err := p.Append(b.Batch(), Client)
			if err != nil {
				w.t.Fatalf("duplicate of producer %d, sequence %d: %v", pid, s.info.BaseSequence, err)
			}
			if a.BaseOffset() != s.info.BaseOffset {
				w.t.Fatalf("duplicate of offset %d got %d", s.info.BaseOffset, a.BaseOffset())
			}
		}
	}
}
