package commitlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// The commit journal makes a round of small writes to many logs durable with one
// fdatasync. What a round has put into the page cache of the segments it also writes,
// with its place, into the journal, and syncs that alone; a start writes it into the
// segments again. The files are written in full once, so that a sync never has to
// make a size durable as well.
//
// There are two files that take turns. Invariants:
//
//	what is acknowledged is durable in its segment, or in a record of a file
//	a file is written over only when all logs with entries in it are synced
//	records are numbered without gaps; a file's records share its generation
//	a record is written only once the one before it is durable, so that a whole record
//	behind one that is not says that a durable one was damaged
//	a void entry makes all entries before it of the same log worthless; it is
//	written while nothing of that log is in the page cache only
//
// Rounds too large for the journal leave a mark in it, now and then: how far their
// segments had been synced. A log that does not reach a mark at a start is damaged.
const (
	journalMagic  = 0x514b4a31 // "QKJ1"
	journalHeader = 4 + 4 + 8 + 8 + 4
	journalAlign  = 512 // a record never shares a sector with another

	// journalRound is the size of a round from which syncing the segments is cheaper
	// than writing everything twice.
	journalRound = 1 << 20

	defaultJournalBytes = 32 << 20

	// markEvery is how often large rounds leave marks: each costs a sync of a sector.
	markEvery = 100 * time.Millisecond
)

// The kinds of entries.
const (
	entryData  = 1 // dir, id, segment, position, bytes
	entryVoid  = 2 // dir, id
	entryReset = 3 // everything before it is worthless, of all logs
	entryMark  = 4 // dir, id, segment, position: synced up to there
)

var journalNames = [2]string{"journal.0", "journal.1"}

// journal is written by the round loop, and by logs that void their entries.
type journal struct {
	fs   fsys.FS
	dir  string
	half int64 // bytes of each file
	room int64 // what rounds leave free at its end, for void entries

	mu     sync.Mutex
	files  [2]fsys.File
	open   atomic.Bool // changes under mu
	cur    int         // the file being written
	pos    int64       // where its next record goes
	gen    uint64
	seq    uint64
	dirty  [2]map[*Log]struct{} // logs with entries in a file that their segments may not have
	stuck  bool                 // a log could not be synced: its entries stay until a restart
	marked time.Time            // when the last marks were written
	err    error                // a write or sync failed: nothing is written any more
}

func journalFile(dir string, i int) string { return filepath.Join(dir, journalNames[i]) }

// beginRecord begins a record in b.
func beginRecord(b []byte) []byte {
	return append(b[:0], make([]byte, journalHeader)...)
}

// relative is the name of a log's directory in the journal.
func (j *journal) relative(dir string) string {
	if rel, ok := strings.CutPrefix(dir, j.dir+"/"); ok {
		return rel
	}
	return dir
}

func appendEntryHead(b []byte, kind byte, dir string, id [16]byte) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(dir)))
	b = append(b, dir...)
	return append(b, id[:]...)
}

// appendData adds what a log has just written: batches, in the segment base from
// pos on.
func (j *journal) appendData(b []byte, l *Log, base, pos int64, batches []staged) []byte {
	b = appendEntryHead(b, entryData, j.relative(l.opts.Dir), l.opts.ID)
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	b = binary.BigEndian.AppendUint64(b, uint64(pos))
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	for i := range batches {
		b = append(b, batches[i].batch...)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// write finishes the record in b, writes and syncs it. It returns false, without having
// written it, when there is no room: the other file still has entries that are needed, or
// the disk is full. A turn may have begun for it then; cur tells. An error means that
// nothing can be trusted any more. mu is held.
func (j *journal) write(b []byte, leave int64) (_ []byte, ok bool, err error) {
	if j.err != nil {
		return b, false, j.err
	}
	size := (int64(len(b)) + journalAlign - 1) / journalAlign * journalAlign
	if size+journalAlign+leave > j.half {
		return b, false, nil
	}
	cur, pos, gen := j.cur, j.pos, j.gen
	if j.pos+size+leave > j.half {
		if j.stuck || len(j.dirty[1-j.cur]) > 0 {
			return b, false, nil
		}
		j.cur, j.pos = 1-j.cur, 0
		j.gen++
		// A turn begins with a record of one sector, which a power cut leaves whole or not
		// at all. A longer one, torn, would leave a hole before those of the last turn.
		if _, ok, err := j.write(beginRecord(nil), 0); !ok {
			j.cur, j.pos, j.gen = cur, pos, gen
			return b, false, err
		}
		cur, pos, gen = j.cur, j.pos, j.gen
	}
	j.seq++
	be := binary.BigEndian
	be.PutUint32(b, journalMagic)
	be.PutUint64(b[8:], j.gen)
	be.PutUint64(b[16:], j.seq)
	be.PutUint32(b[24:], uint32(len(b)-journalHeader))
	be.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	whole := len(b)
	b = append(b, make([]byte, size-int64(len(b)))...)
	f := j.files[j.cur]
	n, err := f.WriteAt(b, j.pos)
	if n >= whole && fsys.IsNoSpace(err) {
		err = nil // the padding is missing, and nobody reads it; the record would be found
	}
	if err == nil {
		err = f.SyncData()
	} else if fsys.IsNoSpace(err) {
		// A file system that never writes in place. What was written of the record is
		// no whole one, and the next goes over it.
		j.cur, j.pos, j.gen, j.seq = cur, pos, gen, j.seq-1
		return b, false, nil
	}
	if err != nil {
		j.err = fmt.Errorf("journal %s: %w", journalFile(j.dir, j.cur), err)
		return b, false, j.err
	}
	j.pos += size
	return b, true, nil
}

// create makes the files where they are missing, writes them in full and begins with
// a record that ends what earlier lives left in them. Where there is no space for that it
// does not begin to fill the disk.
func (j *journal) create() error {
	if err := j.fits(); err != nil {
		return err
	}
	for i := range j.files {
		if err := j.createFile(i); err != nil {
			return err
		}
	}
	if err := syncNames(j.fs, j.dir); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cur, j.pos = 0, 0
	j.gen++
	if _, ok, err := j.write(append(beginRecord(nil), entryReset), 0); !ok {
		return cmp.Or(err, fsys.ErrNoSpace)
	}
	j.dirty = [2]map[*Log]struct{}{{}, {}}
	j.open.Store(true)
	return nil
}

// fits tells whether there is space for what the files lack.
func (j *journal) fits() error {
	missing := int64(0)
	for i := range j.files {
		e, err := j.fs.Stat(journalFile(j.dir, i))
		if err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
		missing += max(0, j.half-e.Size)
	}
	if free, err := j.fs.Free(j.dir); missing > 0 && err == nil && free < missing {
		return fmt.Errorf("%d bytes are free, it takes %d more: %w", free, missing, fsys.ErrNoSpace)
	}
	return nil
}

// discard gives the files up, which say nothing that is needed.
func (j *journal) discard() error {
	for i, f := range j.files {
		if f != nil {
			_ = f.Close() // nothing was written that counts
			j.files[i] = nil
		}
	}
	return removeJournal(j.fs, j.dir)
}

// errNames says that the data directory's names could not be synced. Those that others
// have changed meanwhile may be lost with it, which the next sync would not tell.
var errNames = errors.New("the names in the data directory could not be synced")

// removeJournal removes the files of a journal, durably.
func removeJournal(fs fsys.FS, dir string) error {
	for i := range journalNames {
		if err := fs.Remove(journalFile(dir, i)); err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
	}
	return syncNames(fs, dir)
}

// syncNames makes the names in the data directory durable. Its error is errNames.
func syncNames(fs fsys.FS, dir string) error {
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", errNames, err)
	}
	return nil
}

func (j *journal) createFile(i int) error {
	f, err := j.fs.Open(journalFile(j.dir, i))
	if errors.Is(err, fsys.ErrNotExist) {
		f, err = j.fs.Create(journalFile(j.dir, i))
	}
	if err != nil {
		return err
	}
	j.files[i] = f
	size, err := f.Size()
	if err != nil {
		return err
	}
	zeros := make([]byte, min(j.half, 1<<20))
	for at := size / journalAlign * journalAlign; at < j.half; at += int64(len(zeros)) {
		// Without the journal things are slower, so it must not take the reserve.
		if _, err := f.WriteVAt([][]byte{zeros[:min(int64(len(zeros)), j.half-at)]}, at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// commit makes a round durable: r.record, if the journal is open, has room, and no log
// of the round was cut meanwhile. Otherwise it returns false and the segments have to
// be synced. switched is the file that is full now and wants its logs synced, or -1.
func (j *journal) commit(r *round) (ok bool, switched int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range r.logs {
		if w := &r.logs[i]; w.log.lives.Load() != w.life {
			return false, -1, nil
		}
	}
	before := j.cur
	if r.record, ok, err = j.write(r.record, j.room); !ok {
		if j.cur != before { // the turn has begun, though the record found no space
			return false, before, err
		}
		return false, -1, err
	}
	for i := range r.logs {
		j.dirty[j.cur][r.logs[i].log] = struct{}{}
	}
	if j.cur != before {
		return true, before, nil
	}
	return true, -1, nil
}

// mark notes how far the logs of a round that went past the journal are synced, unless
// that was done just now. It has been acknowledged already: the marks serve a start that
// finds damage.
func (j *journal) mark(logs []wrote) (switched int, err error) {
	j.mu.Lock()
	due := j.open.Load() && time.Since(j.marked) >= markEvery
	j.mu.Unlock()
	if !due {
		return -1, nil
	}
	b := beginRecord(nil)
	for i := range logs {
		l := logs[i].log
		l.Lock()
		ok, seg := l.Refuses() == nil && l.durable >= logs[i].upTo && l.lives.Load() == logs[i].life, l.active()
		base, pos := seg.base, seg.synced
		l.Unlock()
		if ok {
			b = appendEntryHead(b, entryMark, j.relative(l.opts.Dir), l.opts.ID)
			b = binary.BigEndian.AppendUint64(b, uint64(base))
			b = binary.BigEndian.AppendUint64(b, uint64(pos))
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// A log that was cut back meanwhile has said so in the journal, and this would
	// come behind it.
	for i := range logs {
		if logs[i].log.lives.Load() != logs[i].life {
			return -1, nil
		}
	}
	if !j.open.Load() || len(b) == journalHeader {
		return -1, nil
	}
	before := j.cur
	_, ok, err := j.write(b, j.room)
	if ok {
		j.marked = time.Now()
	}
	if j.cur != before {
		return before, err
	}
	return -1, err
}

// void makes the entries of a log worthless, durably. The log is synced and its io
// lock is held, so that no round is writing it; its own lock is not.
func (j *journal) void(l *Log) error {
	l.lives.Add(1) // a round that has written the log but not the journal syncs instead
	for tries := 0; ; tries++ {
		j.mu.Lock()
		if !j.open.Load() {
			j.mu.Unlock()
			return nil
		}
		before := j.cur
		_, ok, err := j.write(appendEntryHead(beginRecord(nil), entryVoid, j.relative(l.opts.Dir), l.opts.ID), 0)
		switched, other := j.cur != before, 1-j.cur
		j.mu.Unlock()
		switch {
		case err != nil:
			return err
		case ok && !switched:
			return nil
		case !ok && tries > 0:
			return errors.New("the commit journal has no room")
		}
		// Either the other file has just become full, or it was in the way.
		if err := j.clean(other); err != nil || ok {
			return err
		}
	}
}

// clean syncs the logs with entries in a file, so that it can be written over.
func (j *journal) clean(file int) error {
	j.mu.Lock()
	logs := slices.Collect(maps.Keys(j.dirty[file]))
	j.mu.Unlock()
	var failed error
	for _, l := range logs {
		if err := l.syncForJournal(); err != nil {
			failed = err
			continue
		}
		j.mu.Lock()
		delete(j.dirty[file], l)
		j.mu.Unlock()
	}
	if failed != nil {
		j.mu.Lock()
		j.stuck = true
		j.mu.Unlock()
	}
	return failed
}

// close ends the journal. If all logs have what it holds, the next start finds
// nothing in it.
func (j *journal) close() {
	if j.isOpen() {
		err := errors.Join(j.clean(0), j.clean(1))
		j.mu.Lock()
		if err == nil {
			_, _, _ = j.write(append(beginRecord(nil), entryReset), 0)
		}
		j.open.Store(false)
		j.mu.Unlock()
	}
	for _, f := range j.files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// failed is the write or sync of an open journal that failed, so that nothing is written
// any more; or nil.
func (j *journal) failed() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.open.Load() {
		return nil
	}
	return j.err
}

func (j *journal) isOpen() bool { return j.open.Load() }
