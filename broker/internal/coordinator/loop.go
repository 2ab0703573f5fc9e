package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Bounds of one round.
const (
	maxCommands = 512
	maxBatch    = 512 << 10 // bytes of records, after which the round ends
)

// machine is the state that a loop keeps: everything is called by the loop's
// goroutine only.
type machine interface {
	// reset forgets everything, before the log is read.
	reset()
	// replay takes in one record of the log. What it gets is good for the call only.
	replay(info *record.Info, e entry, now time.Time) error
	// ready is called when the log was read.
	ready(now time.Time)
	// next says when tick has something to do; zero: never.
	next() time.Time
	tick(now time.Time)
	// expire is called now and then, to drop what is old.
	expire(now time.Time)
	// finish ends a round: what its steps produced for others than the commands'
	// callers may be given out, with what it has to wait for.
	finish(with settled)
	// abandon answers all who wait outside of commands with a code.
	abandon(code int16)
}

// command is a step that a request wants taken.
type command struct {
	run  func(now time.Time)
	done chan settled // capacity 1
}

// settled tells what a round came to.
type settled struct {
	wait *partition.Pending // what must be durable before the answer; nil: nothing
	code int16              // the round failed
}

// output is one batch that a round appends. A refusal of the log that concerns
// this batch alone goes to refused, where that is not nil.
type output struct {
	batch   []byte
	refused *int16
}

// loop runs a machine on a partition of an internal topic; see the package comment.
// Its fields but cmds, quit and ended belong to its goroutine.
type loop struct {
	machine machine
	part    *partition.Partition
	log     *slog.Logger
	now     func() time.Time
	every   time.Duration // between two calls of expire
	cmds    chan command
	quit    chan struct{}
	ended   chan struct{} // closed when its goroutine takes no step any more

	// Of the round in progress.
	outputs []output
	entries []entry // after outputs
	bytes   int

	last *partition.Pending // the newest append, until it is known to be durable

	trouble trouble
}

// trouble is what went wrong last, and was told.
type trouble struct {
	text   string // "" when all is well
	until  time.Time
	unread bool // the state could not be loaded
}

// tellAgain is how long the same trouble is not told again. What is tried anew with each
// request, and each second, would fill the log; and who reads it later must find it.
const tellAgain = 10 * time.Minute

// tell logs what goes wrong, when it is something else than before, or has lasted for
// tellAgain.
func (l *loop) tell(what string, err error, args ...any) {
	text, now := what+err.Error(), l.now()
	if text == l.trouble.text && now.Before(l.trouble.until) {
		return
	}
	l.trouble.text, l.trouble.until = text, now.Add(tellAgain)
	l.log.Error(what, append(args, "err", err)...)
}

func newLoop(cfg *Config, part *partition.Partition, log *slog.Logger) *loop {
	return &loop{
		part: part, log: log, now: cfg.Now, every: cfg.ExpiryInterval,
		cmds: make(chan command, 128), quit: make(chan struct{}), ended: make(chan struct{}),
	}
}

// run is the loop's goroutine, until quit is closed.
func (l *loop) run() {
	defer close(l.ended)
	loaded := l.load()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	expiry := time.NewTicker(l.every)
	defer expiry.Stop()
	var round []command
	for {
		idle := time.Hour
		if !loaded {
			idle = time.Second // tries to load again although nobody asks
		} else if next := l.machine.next(); !next.IsZero() {
			idle = max(next.Sub(l.now()), 0)
		}
		timer.Reset(idle)
		round = round[:0]
		expire := false
		select {
		case <-l.quit:
			l.machine.abandon(errcode.NotCoordinator)
			return
		case c := <-l.cmds:
			round = append(round, c)
		case <-timer.C:
		case <-expiry.C:
			expire = true
		}
		if err := l.outcome(l.last); loaded && err != nil {
			// Found before a step builds on what the log does not have.
			l.tell(notWritten, err)
			l.abandon(errcode.CoordinatorNotAvailable)
			loaded = false
		}
		if !loaded {
			if loaded = l.load(); !loaded {
				l.finish(round, settled{code: errcode.CoordinatorNotAvailable})
				continue
			}
		}
		round, loaded = l.round(round, expire)
	}
}

// round takes one round's steps. A panic in one of them costs the round, not the
// process: the state may be half changed, so it is loaded again.
func (l *loop) round(begun []command, expire bool) (round []command, ok bool) {
	round = begun
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("a coordinator's step panicked; its state is loaded again", "panic", r, "stack", string(debug.Stack()))
			for _, c := range round {
				select {
				case c.done <- settled{code: errcode.UnknownServerError}:
				default: // answered before the panic
				}
			}
			l.abandon(errcode.UnknownServerError)
			ok = false
		}
	}()
	now := l.now()
	for _, c := range round {
		c.run(now)
	}
	for more := true; more && len(round) < maxCommands && l.bytes < maxBatch; {
		select {
		case c := <-l.cmds:
			round = append(round, c)
			c.run(now)
		default:
			more = false
		}
	}
	if next := l.machine.next(); !next.IsZero() && !next.After(now) {
		l.machine.tick(now)
	}
	if expire {
		l.machine.expire(now)
	}
	return round, l.settle(round, now)
}

// add puts a record into the round's batch.
func (l *loop) add(e entry) {
	l.entries = append(l.entries, e)
	l.bytes += len(e.key) + len(e.value) + 16
}

// addBatch puts a batch of its own behind what the round has so far.
func (l *loop) addBatch(o output) {
	l.cut(l.now())
	l.outputs = append(l.outputs, o)
	l.bytes += len(o.batch)
}

// cut makes a batch of the records added so far.
func (l *loop) cut(now time.Time) {
	if len(l.entries) > 0 {
		l.outputs = append(l.outputs, output{batch: batchOf(record.Options{}, l.entries, now)})
		l.entries = nil
	}
}

// settle ends a round: it appends the batches and gives everyone what to wait for.
// It reports false when the state has to be loaded again.
func (l *loop) settle(round []command, now time.Time) bool {
	l.cut(now)
	outputs := l.outputs
	l.outputs, l.bytes = nil, 0
	for _, o := range outputs {
		p, err := l.part.Append(o.batch, partition.Coordinator)
		var coded *record.Error
		switch {
		case err == nil:
			// An earlier append that failed after this one would have taken it along;
			// one that failed before has to be looked for.
			before := l.last
			l.last = p
			if err := l.outcome(before); err != nil {
				return l.failed(round, err)
			}
		case o.refused != nil && errors.As(err, &coded) && coded.Code != record.CodeStorageError:
			*o.refused = coded.Code
		default:
			return l.failed(round, err)
		}
	}
	if l.last != nil {
		select {
		case <-l.last.Durable():
			err := l.outcome(l.last)
			l.last = nil
			if err != nil {
				return l.failed(round, err)
			}
		default:
		}
	}
	l.finish(round, settled{wait: l.last})
	return true
}

// outcome takes in what became of an append: nil, and the end of all trouble, when it is
// durable; its error when it has failed; nil while that is not known.
func (l *loop) outcome(p *partition.Pending) error {
	if p == nil {
		return nil
	}
	select {
	case <-p.Durable():
	default:
		return nil
	}
	err := p.Err()
	if err == nil {
		l.trouble = trouble{}
	}
	return err
}

const notWritten = "a coordinator's change could not be written; its state is loaded again"

func (l *loop) failed(round []command, err error) bool {
	l.tell(notWritten, err)
	l.finish(round, settled{code: errcode.CoordinatorNotAvailable})
	l.abandon(errcode.CoordinatorNotAvailable)
	return false
}

func (l *loop) finish(round []command, with settled) {
	l.machine.finish(with)
	for _, c := range round {
		c.done <- with
	}
}

// abandon answers everyone who waits; the state is not to be used any more.
func (l *loop) abandon(code int16) {
	l.machine.abandon(code)
	l.outputs, l.entries, l.bytes, l.last = nil, nil, 0, nil
}

// load reads the state from the log. It reports false when that failed.
func (l *loop) load() bool {
	began := time.Now()
	l.machine.reset()
	if !l.landed() {
		return false
	}
	now := l.now()
	records := 0
	offset, err := l.read(func(info *record.Info, e entry) error {
		records++
		return l.machine.replay(info, e, now)
	})
	if err != nil {
		l.tell("a coordinator's state could not be loaded; until it can its clients are told COORDINATOR_NOT_AVAILABLE", err, "offset", offset)
		l.trouble.unread = true
		return false
	}
	if l.trouble.unread { // else what could not be written may still not be
		l.log.Info("a coordinator's state could be loaded again")
		l.trouble = trouble{}
	}
	l.machine.ready(now)
	if records > 0 {
		l.log.Debug("coordinator loaded", "records", records, "took", time.Since(began))
	}
	return true
}

// landed waits until no append is on its way any more, as only what is durable can be
// read: one that came before the one that failed may yet succeed, and be acknowledged. It
// reports false when the loop is to end.
func (l *loop) landed() bool {
	for p := l.part.Newest(); p != nil; p = l.part.Newest() {
		select {
		case <-p.Durable():
		case <-l.quit:
			return false
		}
	}
	return true
}

// read calls f for each record of the log, from any goroutine. It returns how far it came.
func (l *loop) read(f func(info *record.Info, e entry) error) (offset int64, err error) {
	offset = l.part.Offsets().LogStart
	for {
		r, err := l.part.Read(offset, 1<<20, partition.ReadUncommitted, true)
		if err != nil || len(r.Records) == 0 {
			return offset, err
		}
		if offset, err = eachEntry(r.Records, f); err != nil {
			return offset, err
		}
	}
}

// do runs f in the loop's next round and waits until what it saw and did is durable.
func (l *loop) do(ctx context.Context, f func(now time.Time)) int16 {
	return l.begin(ctx, f).settle(ctx)
}

// begin runs f in the loop's next round and returns when the round has appended what
// f did; that counts once the result has settled. When it has returned f does not run any
// more, also where the loop is ending: what f fills in is the caller's.
func (l *loop) begin(ctx context.Context, f func(now time.Time)) settled {
	c := command{run: f, done: make(chan settled, 1)}
	select {
	case l.cmds <- c:
	case <-l.quit:
		return settled{code: errcode.NotCoordinator}
	case <-ctx.Done():
		return settled{code: errcode.NotCoordinator}
	}
	select {
	case r := <-c.done:
		return r
	case <-l.ended:
	}
	select {
	case r := <-c.done:
		return r
	default:
		return settled{code: errcode.NotCoordinator}
	}
}

// settle waits for durability and returns the code of what went wrong.
func (r settled) settle(ctx context.Context) int16 {
	if r.code != errcode.None || r.wait == nil {
		return r.code
	}
	select {
	case <-r.wait.Durable():
		if r.wait.Err() != nil {
			return errcode.CoordinatorNotAvailable
		}
		return errcode.None
	case <-ctx.Done():
		return errcode.NotCoordinator
	}
}
