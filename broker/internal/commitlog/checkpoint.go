package commitlog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

const (
	checkpointFile = "checkpoint"
	epochFile      = "leader-epoch-checkpoint" // Kafka's name and format
	identityFile   = "partition.metadata"      // Kafka's name and format
	tmpSuffix      = ".tmp"
)

// checkpoint is what a log must know before it reads its segments: where it begins,
// and up to where everything was durable, derived files included.
//
// The file is replaced as a whole, so that there is always one, and it says everything
// twice, at two places of the disk. If both are damaged all of the log is read again;
// what is lost then is the log start offset within the first segment, and the line
// between damage and a torn tail: see Log.tornOnly.
type checkpoint struct {
	start    int64 // log start offset
	recovery int64 // offset up to which nothing needs to be read again
	base     int64 // the segment that the recovery point lies in
	pos      int64 // and the position in it

	offsets, times, txns int // entries of that segment's indexes that belong to it

	compacted int64 // offset up to which the log was compacted
}

// checkpointCopy is where the second copy begins.
const checkpointCopy = 4096

func (c checkpoint) encode() []byte {
	text := c.text()
	b := make([]byte, checkpointCopy, checkpointCopy+len(text))
	copy(b, text)
	return append(b, text...)
}

func (c checkpoint) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "version 1\nlog-start-offset %d\nrecovery-point %d\nsegment %d\nposition %d\nindex-entries %d %d %d\ncompacted %d\n",
		c.start, c.recovery, c.base, c.pos, c.offsets, c.times, c.txns, c.compacted)
	fmt.Fprintf(&b, "crc32c %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

func decodeCheckpoint(b []byte) (c checkpoint, err error) {
	c, err = decodeCheckpointText(b[:min(len(b), checkpointCopy)])
	if err == nil || len(b) <= checkpointCopy {
		return c, err
	}
	return decodeCheckpointText(b[checkpointCopy:])
}

func decodeCheckpointText(b []byte) (c checkpoint, err error) {
	b = bytes.TrimRight(b, "\x00")
	var crc uint32
	n, err := fmt.Sscanf(string(b), "version 1\nlog-start-offset %d\nrecovery-point %d\nsegment %d\nposition %d\nindex-entries %d %d %d\ncompacted %d\ncrc32c %x\n",
		&c.start, &c.recovery, &c.base, &c.pos, &c.offsets, &c.times, &c.txns, &c.compacted, &crc)
	if err != nil {
		return c, fmt.Errorf("checkpoint is damaged after %d fields: %w", n, err)
	}
	if !bytes.Equal(c.text(), b) {
		return c, errors.New("checkpoint is damaged")
	}
	return c, nil
}

// replaceFile puts data under name in one step that survives a power cut.
func replaceFile(fs fsys.FS, dir, name string, data []byte) error {
	if err := writeFile(fs, dir, name, data); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// writeFile is replaceFile for a caller that syncs the directory.
func writeFile(fs fsys.FS, dir, name string, data []byte) error {
	tmp := filepath.Join(dir, name+tmpSuffix)
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.SyncData()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(tmp, filepath.Join(dir, name))
	}
	return err
}

func readFile(fs fsys.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// identity is what the identity file says.
func identity(id [16]byte) string {
	return fmt.Sprintf("version: 0\ntopic_id: %s\n", base64.RawURLEncoding.EncodeToString(id[:]))
}

// checkIdentity holds the directory to the topic's id, and writes it into a new one,
// which is to be synced.
func checkIdentity(fs fsys.FS, dir string, id [16]byte) error {
	want := identity(id)
	got, err := readFile(fs, filepath.Join(dir, identityFile))
	if errors.Is(err, fsys.ErrNotExist) {
		return writeFile(fs, dir, identityFile, []byte(want))
	}
	if err != nil {
		return err
	}
	if string(got) != want {
		return &OtherTopicError{Dir: dir, ID: parseIdentity(string(got)), text: fmt.Sprintf("it says %q, expected %q", got, want)}
	}
	return nil
}

// parseIdentity is the id in an identity file, zero where it has none.
func parseIdentity(text string) (id [16]byte) {
	var encoded string
	if _, err := fmt.Sscanf(text, "version: 0\ntopic_id: %s\n", &encoded); err != nil {
		return id
	}
	if b, err := base64.RawURLEncoding.DecodeString(encoded); err == nil && len(b) == len(id) {
		copy(id[:], b)
	}
	return id
}

// OtherTopicError says that a directory holds the log of another topic.
type OtherTopicError struct {
	Dir  string
	ID   [16]byte // of that topic; zero where its file does not say
	text string
}

func (e *OtherTopicError) Error() string {
	return fmt.Sprintf("directory %s belongs to another topic: %s; move it away if the topic is gone", e.Dir, e.text)
}

// runUpkeep makes a checkpoint at the newest mark that is durable, so that a
// restart need not read what lies before it. It runs in the committer's background.
func (l *Log) runUpkeep() {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	if err := l.checkpointAtMark(); err != nil {
		// Nothing is lost: the next start reads more.
		l.opts.Logger.Warn("checkpoint failed", "dir", l.opts.Dir, "err", err)
	}
	l.dropBelowStart()
	l.Lock()
	compact := l.cfg.Compact && l.Refuses() == nil
	l.Unlock()
	if compact {
		l.opts.Committer.cleanSoon(l)
	}
}

func (l *Log) checkpointAtMark() error {
	l.Lock()
	var m *mark
	for l.Refuses() == nil && len(l.marks) > 0 && l.marks[0].offset <= l.durable {
		m = &mark{}
		*m = l.marks[0]
		l.marks = l.marks[1:]
	}
	l.Unlock()
	if m == nil {
		return nil
	}
	return l.checkpointAt(*m)
}

// checkpointIdle makes a checkpoint at the end of a log to which nothing was appended
// since the last look: a start need not read its tail then, and takes damage in it for
// what it is.
func (l *Log) checkpointIdle() error {
	l.Lock()
	idle := l.Refuses() == nil && l.end == l.idleAt && l.durable == l.end && l.saved.recovery < l.end
	l.idleAt = l.end
	l.Unlock()
	if !idle {
		return nil
	}
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.io.Lock()
	defer l.io.Unlock()
	return l.checkpointEnd()
}

// checkpointAt saves all derived state up to m, which is durable, then the
// checkpoint that relies on it. upkeep is held.
func (l *Log) checkpointAt(m mark) error {
	fs, dir := l.opts.FS, l.opts.Dir
	l.Lock()
	var views []view
	var txns []AbortedTxn // of the segment that m lies in
	for _, s := range l.segs {
		if s.base <= m.base && !s.sealed {
			views = append(views, s.view())
			txns = s.txns
		}
	}
	e := epochs{entries: append([]epochStart(nil), l.epochs.entries...)}
	start, compacted := l.start, l.compacted
	l.Unlock()
	defer func() {
		for i := range views {
			views[i].release()
		}
	}()
	e.truncateEnd(m.offset)
	if err := l.syncForCheckpoint(m); err != nil {
		return err
	}
	for i := range views {
		if err := l.saveDerived(&views[i], views[i].seg.base < m.base); err != nil {
			return err
		}
	}
	if l.saved == (checkpoint{}) {
		// A start takes a snapshot without a checkpoint for a log that has lost it, not
		// for one whose first checkpoint was cut short.
		if err := l.saveCheckpoint(checkpoint{start: start, compacted: compacted}); err != nil {
			return err
		}
	}
	if err := replaceFile(fs, dir, fileName("", m.offset, producersSuffix), m.producers); err != nil {
		return err
	}
	if err := replaceFile(fs, dir, epochFile, e.encode()); err != nil {
		return err
	}
	c := checkpoint{start: start, recovery: m.offset, base: m.base, pos: m.pos, compacted: compacted}
	c.countEntries(views, txns)
	if err := l.saveCheckpoint(c); err != nil {
		return err
	}
	return l.dropSnapshots(m.offset)
}

// syncForCheckpoint syncs the segment that m lies in where it may be durable in the
// journal only: a checkpoint speaks of segments.
func (l *Log) syncForCheckpoint(m mark) error {
	l.Lock()
	seg := l.segs[l.segmentOf(m.offset)]
	due := seg.base == m.base && seg.synced < m.pos
	l.Unlock()
	if !due {
		return nil
	}
	upTo, err := l.syncFiles()
	l.synced(upTo, err)
	return err
}

// countEntries counts what the indexes of the last view, the segment of the recovery
// point, have below that point.
func (c *checkpoint) countEntries(views []view, txns []AbortedTxn) {
	if len(views) == 0 || views[len(views)-1].seg.base != c.base {
		return
	}
	v := &views[len(views)-1]
	for e := v.offsets.mem; len(e) > 0; e = e[offsetEntrySize:] {
		if _, pos := parseOffsetEntry(e); int64(pos) < c.pos {
			c.offsets++
		}
	}
	for e := v.times.mem; len(e) > 0; e = e[timeEntrySize:] {
		if _, rel := parseTimeEntry(e); v.seg.base+int64(rel) < c.recovery {
			c.times++
		}
	}
	for _, t := range txns {
		if t.Last < c.recovery {
			c.txns++
		}
	}
}

// saveCheckpoint replaces the checkpoint file. upkeep is held.
func (l *Log) saveCheckpoint(c checkpoint) error {
	if err := replaceFile(l.opts.FS, l.opts.Dir, checkpointFile, c.encode()); err != nil {
		return err
	}
	l.Lock()
	l.saved = c
	l.Unlock()
	return nil
}

// saveDerived brings a segment's index files up to date; the files of a complete
// segment replace what is in memory. upkeep is held.
func (l *Log) saveDerived(v *view, complete bool) error {
	s := v.seg
	l.Lock()
	txns, flushed := s.txns, s.txnsFlushed
	l.Unlock()
	if err := flushIndex(l.opts.FS, s.offsets.name, v.offsets.mem, v.offsets.flushed); err != nil {
		return err
	}
	if err := flushIndex(l.opts.FS, s.times.name, v.times.mem, v.times.flushed); err != nil {
		return err
	}
	name := fileName(s.dir, s.base, txnIndexSuffix)
	switch {
	case len(txns) > flushed, complete && len(txns) > 0:
		if err := flushIndex(l.opts.FS, name, encodeTxns(txns), flushed*txnEntrySize); err != nil {
			return err
		}
	case complete: // one may be there from before a crash
		if err := l.opts.FS.Remove(name); err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
	}
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		return err
	}
	l.Lock()
	defer l.Unlock()
	s.offsets.flushed, s.times.flushed, s.txnsFlushed = len(v.offsets.mem), len(v.times.mem), len(txns)
	if complete {
		s.sealed, s.scrubbed = true, l.opts.Now()
		s.offsets.inFile, s.offsets.mem = true, nil
		s.times.inFile, s.times.mem = true, nil
	}
	return nil
}

// dropSnapshots removes producer snapshots other than the one at keep.
func (l *Log) dropSnapshots(keep int64) error {
	entries, err := l.opts.FS.ReadDir(l.opts.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if at, ok := parseFileName(e.Name, producersSuffix); ok && at != keep {
			if err := l.opts.FS.Remove(filepath.Join(l.opts.Dir, e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}
