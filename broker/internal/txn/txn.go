package txn

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// State is the state of a transactional id, numbered as in the transaction log.
type State int8

// The states; see the package comment.
const (
	Empty State = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
)

func (s State) String() string {
	return [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}[s]
}

// Prepared says whether the markers of a decision are being written.
func (s State) Prepared() bool { return s == PrepareCommit || s == PrepareAbort }

// fenceEpoch is the epoch that ends a producer id for good; producers get epochs
// below it.
const fenceEpoch = math.MaxInt16

// Partition names a partition in a transaction.
type Partition struct {
	Topic string
	Index int32
}

// Txn is a transactional id. Its fields are what the transaction log keeps. A step
// that refuses may leave it half changed: step a Clone and keep it on Write.
type Txn struct {
	ID         string
	ProducerID int64
	Epoch      int16
	// PrevProducerID is the producer id before a rotation, -1 without one.
	PrevProducerID int64
	// LastEpoch is the epoch before the last one, -1 without one.
	LastEpoch int16
	// NextProducerID is the id that the producer goes on with once the transaction
	// that is ending is complete, -1 while it keeps its own.
	NextProducerID int64
	Timeout        time.Duration
	State          State
	Version        int16 // of the client that ended the last transaction
	Partitions     map[Partition]struct{}
	Started        time.Time // when the open transaction began; zero without one
	Updated        time.Time
	// Stale: later changes may have been lost, so that the next epochs may have been
	// given out before. Who comes next gets a new producer id. It is not in the log.
	Stale bool
}

// New returns a transactional id that no producer uses yet.
func New(id string) *Txn {
	return &Txn{ID: id, ProducerID: -1, Epoch: -1, PrevProducerID: -1, LastEpoch: -1, NextProducerID: -1, Partitions: map[Partition]struct{}{}}
}

// Clone returns a copy that shares nothing that changes.
func (t *Txn) Clone() *Txn {
	c := *t
	c.Partitions = maps.Clone(t.Partitions)
	return &c
}

// Sorted returns the partitions of the transaction in order.
func (t *Txn) Sorted() []Partition {
	return slices.SortedFunc(maps.Keys(t.Partitions), func(a, b Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index))
	})
}

// Result is what a step asks of its caller.
type Result struct {
	Code int16
	// Write: the transaction changed and must be durable before the answer.
	Write bool
	// Wait: the answer is not known before the markers that are being written are;
	// the caller tries again then. Code is what to answer if that takes too long.
	Wait bool
	// End: with Write, the transaction is decided; its markers are due.
	End bool
	// ProducerID and Epoch are for the producer to go on with.
	ProducerID int64
	Epoch      int16
}

func refuse(code int16) Result { return Result{Code: code, ProducerID: -1, Epoch: -1} }

func wait() Result {
	r := refuse(errcode.ConcurrentTransactions)
	r.Wait = true
	return r
}

// NewID gives a producer id that nobody ever had.
type NewID func() (int64, error)

// Init makes a producer the owner of the transactional id: whoever was before is
// fenced, and a transaction that it left open is aborted. A producer that goes on
// after a failure names the id and epoch it has; otherwise producerID is -1.
func (t *Txn) Init(now time.Time, timeout time.Duration, producerID int64, epoch int16, newID NewID) Result {
	known := producerID >= 0
	if known && t.Epoch >= 0 && producerID != t.ProducerID && !(producerID == t.PrevProducerID && epoch == fenceEpoch-1) {
		return refuse(errcode.ProducerFenced)
	}
	switch {
	case t.State.Prepared():
		return wait()
	case t.State == Ongoing:
		if known && epoch != t.Epoch {
			return refuse(errcode.ProducerFenced)
		}
		r := t.abort(now)
		if r.Write {
			r.Wait = true // the id is the new producer's when this is over
			r.Code = errcode.ConcurrentTransactions
		}
		return r
	}
	rotated := known && producerID != t.ProducerID
	switch {
	case t.Stale: // a repetition cannot be told
	case known && t.Epoch >= 0 && !rotated && epoch == t.LastEpoch, rotated && t.LastEpoch == -1:
		// It did not hear the answer of the first time.
		if t.State != Empty { // that one ended a transaction
			t.State, t.Timeout, t.Updated = Empty, timeout, now
			return Result{Write: true, ProducerID: t.ProducerID, Epoch: t.Epoch}
		}
		return Result{ProducerID: t.ProducerID, Epoch: t.Epoch}
	case known && t.Epoch >= 0 && epoch != t.Epoch:
		return refuse(errcode.ProducerFenced)
	}
	if t.ProducerID < 0 || t.Epoch >= fenceEpoch-1 || t.Stale {
		id, err := newID()
		if err != nil {
			return refuse(errcode.CoordinatorNotAvailable)
		}
		t.Stale = false
		if t.PrevProducerID = t.ProducerID; t.ProducerID >= 0 {
			t.LastEpoch = -1
		}
		t.ProducerID, t.Epoch = id, 0
	} else {
		// Only the producer itself may ask again for the epoch it was given; one
		// that another takes over from is fenced for good.
		if t.LastEpoch = -1; known {
			t.LastEpoch = t.Epoch
		}
		t.Epoch++
	}
	t.Timeout, t.State, t.Updated, t.Started = timeout, Empty, now, time.Time{}
	t.NextProducerID = -1
	clear(t.Partitions)
	return Result{Write: true, ProducerID: t.ProducerID, Epoch: t.Epoch}
}

// check says whether a request comes from the current producer.
func (t *Txn) check(producerID int64, epoch int16) int16 {
	switch {
	case producerID != t.ProducerID:
		return errcode.InvalidProducerIDMapping
	case epoch != t.Epoch:
		return errcode.ProducerFenced
	}
	return errcode.None
}

// Add takes partitions into the transaction, beginning one if none is open.
func (t *Txn) Add(now time.Time, producerID int64, epoch int16, partitions []Partition) Result {
	if t.State.Prepared() && t.fits(producerID, epoch) {
		return wait()
	}
	if code := t.check(producerID, epoch); code != errcode.None {
		return refuse(code)
	}
	fresh := false
	for _, p := range partitions {
		_, in := t.Partitions[p]
		fresh = fresh || !in
	}
	if t.State == Ongoing && !fresh {
		return Result{ProducerID: producerID, Epoch: epoch}
	}
	if t.State != Ongoing {
		clear(t.Partitions)
		t.State, t.Started = Ongoing, now
	}
	for _, p := range partitions {
		t.Partitions[p] = struct{}{}
	}
	t.Updated = now
	return Result{Write: true, ProducerID: producerID, Epoch: epoch}
}

// fits says whether a request during Prepare comes from the producer that goes on
// after it, or may still believe to be it.
func (t *Txn) fits(producerID int64, epoch int16) bool {
	if t.NextProducerID >= 0 && producerID == t.NextProducerID {
		return epoch == 0
	}
	return producerID == t.ProducerID && epoch == t.Epoch
}

// Has says whether a producer may write to a partition: INVALID_TXN_STATE where
// that is not in its transaction.
func (t *Txn) Has(producerID int64, epoch int16, p Partition) int16 {
	if code := t.check(producerID, epoch); code != errcode.None {
		return code
	}
	if _, in := t.Partitions[p]; t.State != Ongoing || !in {
		return errcode.InvalidTxnState
	}
	return errcode.None
}

// End decides the open transaction. Version 2 raises the epoch with it, and lets a
// producer abort where nothing is open, to get its next epoch.
func (t *Txn) End(now time.Time, producerID int64, epoch int16, commit bool, version int16, newID NewID) Result {
	if version >= 2 {
		if r, again := t.endAgain(producerID, epoch, commit); again {
			return r
		}
	}
	if code := t.check(producerID, epoch); code != errcode.None {
		return refuse(code)
	}
	switch t.State {
	case Ongoing:
	case PrepareCommit, PrepareAbort:
		// In version 2 the epoch is already that of the next transaction, so this is
		// its end, and says nothing about the one whose markers are being written.
		next := version >= 2 && t.Version >= 2
		if !next && commit != (t.State == PrepareCommit) {
			return refuse(errcode.InvalidTxnState)
		}
		return wait()
	default:
		if version >= 2 && !commit {
			break // an abort of nothing raises the epoch
		}
		if version < 2 && (t.State == CompleteCommit && commit || t.State == CompleteAbort && !commit) {
			return Result{ProducerID: t.ProducerID, Epoch: t.Epoch} // said twice
		}
		return refuse(errcode.InvalidTxnState)
	}
	if t.State != Ongoing {
		clear(t.Partitions)
		t.Started = now
	}
	t.State, t.Version, t.Updated = PrepareAbort, version, now
	if commit {
		t.State = PrepareCommit
	}
	if version < 2 {
		return Result{Write: true, End: true, ProducerID: t.ProducerID, Epoch: t.Epoch}
	}
	return t.raise(newID)
}

// raise gives the ending transaction's markers the next epoch.
func (t *Txn) raise(newID NewID) Result {
	if t.Epoch >= fenceEpoch-1 {
		id, err := newID()
		if err != nil {
			return refuse(errcode.CoordinatorNotAvailable)
		}
		t.NextProducerID = id
		t.LastEpoch, t.Epoch = t.Epoch, fenceEpoch
		return Result{Write: true, End: true, ProducerID: id, Epoch: 0}
	}
	t.LastEpoch = t.Epoch
	t.Epoch++
	return Result{Write: true, End: true, ProducerID: t.ProducerID, Epoch: t.Epoch}
}

// endAgain answers a version 2 end whose first answer was lost: the epoch in it is
// the one before the current one.
func (t *Txn) endAgain(producerID int64, epoch int16, commit bool) (r Result, again bool) {
	rotated := t.PrevProducerID >= 0 && producerID == t.PrevProducerID && epoch == fenceEpoch-1 && t.ProducerID != producerID
	if !rotated && (producerID != t.ProducerID || epoch != t.LastEpoch || epoch < 0) {
		return r, false
	}
	switch {
	case t.State.Prepared():
		if commit != (t.State == PrepareCommit) {
			return refuse(errcode.InvalidTxnState), true
		}
		return wait(), true
	case t.State == CompleteCommit && commit, t.State == CompleteAbort && !commit:
		return Result{ProducerID: t.ProducerID, Epoch: t.Epoch}, true
	case t.State == CompleteCommit || t.State == CompleteAbort:
		return refuse(errcode.InvalidTxnState), true
	}
	return refuse(errcode.ProducerFenced), true
}

// abort ends the open transaction by the coordinator's own decision, and raises
// the epoch so that its producer cannot go on.
func (t *Txn) abort(now time.Time) Result {
	t.State, t.Updated = PrepareAbort, now
	if t.Epoch < fenceEpoch {
		t.LastEpoch = t.Epoch
		t.Epoch++
	}
	return Result{Write: true, End: true, ProducerID: t.ProducerID, Epoch: t.Epoch}
}

// Tick aborts the transaction when it has been open for longer than its timeout.
func (t *Txn) Tick(now time.Time) Result {
	if t.State != Ongoing || now.Sub(t.Started) < t.Timeout {
		return Result{}
	}
	return t.abort(now)
}

// Complete ends the Prepare state: the markers are written.
func (t *Txn) Complete(now time.Time) Result {
	switch t.State {
	case PrepareCommit:
		t.State = CompleteCommit
	case PrepareAbort:
		t.State = CompleteAbort
	default:
		return refuse(errcode.InvalidTxnState)
	}
	if t.NextProducerID >= 0 {
		t.PrevProducerID, t.ProducerID, t.NextProducerID = t.ProducerID, t.NextProducerID, -1
		t.LastEpoch, t.Epoch = -1, 0
	}
	clear(t.Partitions)
	t.Started, t.Updated = time.Time{}, now
	return Result{Write: true, ProducerID: t.ProducerID, Epoch: t.Epoch}
}

// Expired says whether the transactional id has not been used for so long that it
// may be forgotten.
func (t *Txn) Expired(now time.Time, after time.Duration) bool {
	return t.State != Ongoing && !t.State.Prepared() && now.Sub(t.Updated) >= after
}
