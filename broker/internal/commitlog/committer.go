package commitlog

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Flush says when appended bytes count as durable.
type Flush uint8

// The flush policies.
const (
	// FlushGroup syncs before an append counts: one round of writes and syncs
	// serves everything that queued during the round before it.
	FlushGroup Flush = iota
	// FlushInterval counts what is written and syncs every CommitterConfig.Interval.
	FlushInterval
	// FlushOS counts what is written and leaves syncing to the operating system,
	// but for a background sync once a minute.
	FlushOS
)

// CommitterConfig configures a Committer.
type CommitterConfig struct {
	// FS and Dir are the data directory all logs of this committer live under.
	FS  fsys.FS
	Dir string
	// Flush is the policy; the default is FlushGroup.
	Flush Flush
	// Interval is the time between background syncs: 0 = 1 s under FlushInterval,
	// 60 s under FlushOS.
	Interval time.Duration
	// SyncBytes is how many bytes a log may have unsynced before it is synced early
	// under FlushInterval and FlushOS; 0 = 128 MiB.
	SyncBytes int64
	// MarkBytes is how many bytes of a log lie between two places from which a
	// restart may begin to read; 0 = 32 MiB. A restart after a crash reads at most
	// about twice this of each log.
	MarkBytes int64
	// JournalBytes is the size of the commit journal under FlushGroup: two files of
	// half of it, made in the background once the broker has some work, that are
	// written in turns. 0 = 32 MiB; negative = none, each round syncs every segment
	// it wrote.
	JournalBytes int64
	// JournalAfter is how many rounds pass before the journal is made: a broker that
	// hardly works does not need one; 0 = 1000.
	JournalAfter int64
	// LargeWrite is how many bytes make an append worth a write of its own under
	// FlushGroup (see Log.Write); 0 = 16 KiB.
	LargeWrite int64
	// CleanEvery is the time between two looks for what retention and compaction may
	// remove (log.retention.check.interval.ms); 0 = 30 s, negative = never.
	CleanEvery time.Duration
	// CompactMemory bounds the map of keys of a compaction
	// (log.cleaner.dedupe.buffer.size); 0 = 64 MiB.
	CompactMemory int64
	// ScrubRate is how many bytes a second the scrubber reads of sealed segments, to
	// find damage before a reader does; 0 = 8 MiB, negative = no scrubber. ScrubEvery is
	// the time between two readings of a segment; 0 = 7 days.
	ScrubRate  int64
	ScrubEvery time.Duration
	// Space is the disk's, if somebody watches it; nil = nobody.
	Space Space
	// OnFailed, if it is set, is told once that the data directory takes no more
	// writes, because the commit journal failed; see Fail.
	OnFailed func(error)
	// Logger receives what no caller waits for; nil = slog.Default().
	Logger *slog.Logger
}

// Space knows whether there is room on the disk; see datadir.Reserve.
type Space interface {
	// Full says that what clients send is to be refused.
	Full() bool
	// NoSpace is told that a write found the disk full. Trying it again may succeed.
	NoSpace()
}

// Committer syncs what many logs have written, in rounds: one round takes everything
// that was written during the round before it, so that the disk itself sets the pace
// and the size of a round. It also writes what logs have queued (see Log.Write).
//
// The order of locks is a log's lock, rounds, mu.
type Committer struct {
	cfg CommitterConfig

	writers atomic.Int32 // goroutines in writes of their own

	rounds sync.Mutex
	next   round // being filled

	mu      sync.Mutex
	wake    sync.Cond
	queue   []*Log // with batches to be written
	spare   []*Log
	due     bool // next has something
	closing bool
	stats   Stats
	logs    map[*Log]struct{} // those open
	failed  error             // the journal cannot be trusted: no log takes anything more
	journal *journal          // nil where there is none
	// replayed is how far logs must reach after the journal was written into them;
	// each is looked at once, when it is opened.
	replayed map[string]place

	tasks   []*Log // logs whose upkeep is due
	tasksOn bool
	bg      sync.WaitGroup
	done    chan struct{} // the round loop has ended
	stop    chan struct{}
	late    map[*Log]struct{} // logs with bytes to sync in the background
	early   chan struct{}     // one of them has too many
	dirty   map[*Log]struct{} // logs that may be worth a compaction
	soon    chan struct{}     // there is one
}

// Stats counts what a committer did.
type Stats struct {
	Rounds    int64 // turns that wrote something
	Journaled int64 // rounds that the journal made durable
	Logs      int64 // logs written, over all rounds
	Syncs     int64 // files synced by rounds
	// SyncTime is the time rounds spent waiting for syncs.
	SyncTime time.Duration
	Scrubbed int64 // bytes that the scrubber has read
	Damaged  int64 // segments that it found damaged
}

func (s *Stats) add(o Stats) {
	s.Rounds += o.Rounds
	s.Journaled += o.Journaled
	s.Logs += o.Logs
	s.Syncs += o.Syncs
	s.SyncTime += o.SyncTime
	s.Scrubbed += o.Scrubbed
	s.Damaged += o.Damaged
}

// maxWriters bounds the goroutines that write what they have brought.
const maxWriters = 16

// syncers bounds how many files of one round are synced at the same time.
const syncers = 16

// NewCommitter starts a committer for the logs under cfg.Dir.
func NewCommitter(cfg CommitterConfig) (*Committer, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
		if cfg.Flush == FlushOS {
			cfg.Interval = time.Minute
		}
	}
	if cfg.SyncBytes <= 0 {
		cfg.SyncBytes = 128 << 20
	}
	if cfg.ScrubRate == 0 {
		cfg.ScrubRate = 8 << 20
	}
	if cfg.ScrubEvery <= 0 {
		cfg.ScrubEvery = 7 * 24 * time.Hour
	}
	if cfg.CompactMemory <= 0 {
		cfg.CompactMemory = 64 << 20
	}
	if cfg.MarkBytes <= 0 {
		cfg.MarkBytes = 32 << 20
	}
	if err := makeDir(cfg.FS, cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.JournalBytes == 0 {
		cfg.JournalBytes = defaultJournalBytes
	}
	if cfg.LargeWrite <= 0 {
		cfg.LargeWrite = 16 << 10
	}
	if cfg.JournalAfter <= 0 {
		cfg.JournalAfter = 1000
	}
	c := &Committer{cfg: cfg, logs: map[*Log]struct{}{}, done: make(chan struct{}), stop: make(chan struct{}), late: map[*Log]struct{}{}, early: make(chan struct{}, 1), dirty: map[*Log]struct{}{}, soon: make(chan struct{}, 1)}
	c.wake.L = &c.mu
	if err := c.openJournal(); err != nil {
		return nil, err
	}
	go c.run()
	if cfg.Flush != FlushGroup {
		c.bg.Add(1)
		go c.syncLate()
	}
	if cfg.CleanEvery == 0 {
		cfg.CleanEvery = 30 * time.Second
	}
	if cfg.CleanEvery > 0 {
		c.bg.Add(1)
		go c.cleanLogs(cfg.CleanEvery)
	}
	if c.cfg.ScrubRate > 0 {
		c.bg.Add(1)
		go c.scrubLogs()
	}
	return c, nil
}

// Close ends the committer once what is queued is written. Close every log first.
func (c *Committer) Close() error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return nil
	}
	c.closing = true
	close(c.stop)
	c.wake.Broadcast()
	c.mu.Unlock()
	<-c.done
	c.bg.Wait()
	if c.journal != nil {
		c.journal.close()
	}
	return nil
}

// Stats returns what was counted so far.
func (c *Committer) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *Committer) count(s Stats) {
	c.mu.Lock()
	c.stats.add(s)
	c.mu.Unlock()
}

// enqueue puts a log into the next round. The log's lock is held.
func (c *Committer) enqueue(l *Log) {
	c.mu.Lock()
	c.queue = append(c.queue, l)
	if len(c.queue) == 1 {
		c.wake.Signal()
	}
	c.mu.Unlock()
}

// admit says whether one more goroutine may write what it has brought.
func (c *Committer) admit() bool {
	if c.writers.Add(1) <= maxWriters {
		return true
	}
	c.writers.Add(-1)
	return false
}

// wrote takes in what was written to a log, for the round that will sync it, or for
// the background sync. io and the log's lock are held.
func (c *Committer) wrote(l *Log, base, pos int64, batches []staged) {
	if c.cfg.Flush != FlushGroup {
		c.noteLate(l)
		return
	}
	c.rounds.Lock()
	first := len(c.next.logs) == 0
	if first && c.journal != nil && c.journal.isOpen() {
		c.next.begin(c.journal)
	}
	c.next.add(l, base, pos, batches)
	c.rounds.Unlock()
	if !first {
		return
	}
	c.mu.Lock()
	c.due = true
	c.wake.Signal()
	c.mu.Unlock()
}

// await waits for a turn of the loop, and returns the logs to write in it. At the
// end it returns false.
func (c *Committer) await() ([]*Log, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.due {
		if c.closing {
			return nil, false
		}
		c.wake.Wait()
	}
	logs := c.queue
	c.queue, c.spare = c.spare[:0], nil
	return logs, true
}

// take exchanges the round that was filled for r, which is done with.
func (c *Committer) take(r *round) {
	r.clear()
	c.rounds.Lock()
	c.mu.Lock()
	c.due = false
	c.mu.Unlock()
	*r, c.next = c.next, *r
	c.rounds.Unlock()
}

func (c *Committer) run() {
	defer close(c.done)
	var r round
	for {
		logs, ok := c.await()
		if !ok {
			return
		}
		for _, l := range logs {
			l.io.Lock()
			l.writeStaged()
			l.io.Unlock()
		}
		c.take(&r)
		r.dropRefusing()
		var s Stats
		if len(r.logs) > 0 {
			s = Stats{Rounds: 1, Logs: int64(len(r.logs))}
			began := time.Now()
			c.settle(&r, &s)
			s.SyncTime = time.Since(began)
		}
		c.mu.Lock()
		c.stats.add(s)
		// Once: a turn in which no log had anything is no round.
		if s.Rounds > 0 && c.stats.Rounds == c.cfg.JournalAfter && c.journal != nil && !c.closing && r.journal == nil && !c.journal.isOpen() {
			c.bg.Add(1)
			go c.createJournal()
		}
		clear(logs)
		c.spare = logs[:0]
		c.mu.Unlock()
	}
}

// settle makes a round durable and tells its logs.
func (c *Committer) settle(r *round, s *Stats) {
	if r.journal != nil {
		ok, switched, err := c.journal.commit(r)
		if switched >= 0 {
			c.bg.Add(1)
			go c.cleanJournal(switched)
		}
		if err != nil {
			c.Fail(err)
			return
		}
		if ok {
			s.Journaled, s.Syncs = 1, 1
			for i := range r.logs {
				r.logs[i].log.synced(r.logs[i].upTo, nil)
			}
			return
		}
	}
	s.Syncs = int64(len(r.logs))
	c.syncAll(r.logs)
	if c.journal == nil {
		return
	}
	switched, err := c.journal.mark(r.logs)
	if switched >= 0 {
		c.bg.Add(1)
		go c.cleanJournal(switched)
	}
	if err != nil {
		c.Fail(err)
	}
}

// syncAll syncs the files of the logs, several at a time, and tells each log as
// soon as its own is done.
func (c *Committer) syncAll(logs []wrote) {
	one := func(l *Log) {
		upTo, err := l.syncFiles()
		l.synced(upTo, err)
	}
	if len(logs) == 1 {
		one(logs[0].log)
		return
	}
	var wg sync.WaitGroup
	work := make(chan *Log, len(logs))
	for _, w := range logs {
		work <- w.log
	}
	close(work)
	for range min(syncers, len(logs)) {
		wg.Go(func() {
			for l := range work {
				one(l)
			}
		})
	}
	wg.Wait()
}

// noteLate remembers a log to sync in the background, before the next tick if it has
// much to lose. The log's lock is held.
func (c *Committer) noteLate(l *Log) {
	c.mu.Lock()
	c.late[l] = struct{}{}
	c.stats.add(Stats{Rounds: 1, Logs: 1})
	c.mu.Unlock()
	if l.unsynced > c.cfg.SyncBytes {
		select {
		case c.early <- struct{}{}:
		default:
		}
	}
}

// syncLate is the background sync of the policies that do not sync in rounds.
func (c *Committer) syncLate() {
	defer c.bg.Done()
	tick := time.NewTicker(c.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		case <-c.early:
		}
		c.mu.Lock()
		logs := make([]wrote, 0, len(c.late))
		for l := range c.late {
			logs = append(logs, wrote{log: l})
		}
		clear(c.late)
		c.mu.Unlock()
		c.syncAll(logs)
	}
}

// upkeep runs a log's upkeep in the background, one log at a time.
func (c *Committer) upkeep(l *Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t == l {
			return
		}
	}
	c.tasks = append(c.tasks, l)
	if !c.tasksOn && !c.closing {
		c.tasksOn = true
		c.bg.Add(1)
		go c.runTasks()
	}
}

func (c *Committer) runTasks() {
	defer c.bg.Done()
	for {
		c.mu.Lock()
		if len(c.tasks) == 0 || c.closing {
			c.tasksOn = false
			c.mu.Unlock()
			return
		}
		l := c.tasks[0]
		c.tasks = c.tasks[1:]
		c.mu.Unlock()
		l.runUpkeep()
	}
}
