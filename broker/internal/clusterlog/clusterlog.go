// Package clusterlog keeps the cluster's commands in one file. What one Append
// wrote is one frame: length, CRC32C, and the records, each behind its length; it
// is synced before Append returns and before the next frame begins. Behind it comes a
// mark, a frame with an empty record, which is not synced by itself: where it is, the
// frame before it had been. One that is lost although the next frame is whole is put back.
//
// So a frame that a crash tore is the last one and was never acknowledged: it is
// dropped, with all its records. A damaged frame with a whole one behind it was
// acknowledged: the log is refused, naming the place, since topics and their ids
// cannot be guessed.
package clusterlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"sync"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// name is the log's file in its directory.
const name = "cluster.log"

// maxFrame bounds a frame, so that a damaged length is seen as one.
const maxFrame = 64 << 20

const headerSize = 8

// mark follows each frame once that is synced.
var mark = frame([][]byte{nil})

var emptyHeader [headerSize]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Log is an open log. It implements cluster.Log.
type Log struct {
	fs  fsys.FS
	dir string

	mu       sync.Mutex
	f        fsys.File
	end      int64
	failed   error // after a failed sync what the disk has is unknown
	onFailed func(error)
}

// Open opens or makes the log in dir and returns its records.
func Open(fs fsys.FS, dir string) (*Log, [][]byte, error) {
	l := &Log{fs: fs, dir: dir, onFailed: func(error) {}}
	file := path.Join(dir, name)
	f, err := fs.Open(file)
	if errors.Is(err, fsys.ErrNotExist) {
		f, err = fs.Create(file)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening the cluster log: %w", err)
	}
	l.f = f
	// Also when the file was there: who made it may have been killed before this.
	if err := fs.SyncDir(dir); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("syncing the directory of the cluster log: %w", err), f.Close())
	}
	records, err := l.read(file)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return l, records, nil
}

func (l *Log) read(file string) ([][]byte, error) {
	data, err := readAll(l.f, file)
	if err != nil {
		return nil, err
	}
	end, count := 0, 0
	for {
		body, ok := cut(data[end:])
		if !ok && lostMark(data, end) {
			body, ok = cut(mark)
			copy(data[end:], mark)
			if _, err := l.f.WriteAt(mark, int64(end)); err != nil {
				return nil, fmt.Errorf("mending %s: %w", file, err)
			}
		}
		if !ok {
			break
		}
		end += headerSize + len(body)
		count += countRecords(body)
	}
	records := make([][]byte, 0, count)
	for pos := 0; pos < end; {
		body := data[pos+headerSize:][:binary.BigEndian.Uint32(data[pos:])]
		pos += headerSize + len(body)
		if records, err = split(records, body, file, pos); err != nil {
			return nil, err
		}
	}
	l.end = int64(end)
	if end == len(data) {
		return records, nil
	}
	if findFrame(data, end+1) < len(data) {
		return nil, fmt.Errorf("%s is damaged at byte %d, with whole frames behind: restore it from a copy, or run \"broker repair %s\", "+
			"which says what would be lost before it changes anything", file, end, file)
	}
	if err := l.f.Truncate(l.end); err != nil {
		return nil, fmt.Errorf("cutting the torn end of %s: %w", file, err)
	}
	if err := l.f.Sync(); err != nil {
		return nil, fmt.Errorf("syncing %s: %w", file, err)
	}
	return records, nil
}

func readAll(f fsys.File, file string) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); int64(n) < size {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return data, nil
}

// countRecords counts the records of a frame, or more when it does not parse.
func countRecords(body []byte) (n int) {
	for len(body) > 4 {
		n++
		body = body[min(4+int(binary.BigEndian.Uint32(body)), len(body)):]
	}
	return n
}

// split appends the records of a frame that ends at byte pos.
func split(records [][]byte, body []byte, file string, pos int) ([][]byte, error) {
	for len(body) > 0 {
		n := 4
		if len(body) >= 4 {
			n += int(binary.BigEndian.Uint32(body))
		}
		if n > len(body) {
			return nil, fmt.Errorf("%s was written by another version: the frame before byte %d does not parse", file, pos)
		}
		if n > 4 {
			records = append(records, body[4:n])
		}
		body = body[n:]
	}
	return records, nil
}

// findFrame returns where the next whole frame begins, or the end.
func findFrame(data []byte, pos int) int {
	for ; pos < len(data); pos++ {
		if _, ok := cut(data[pos:]); ok {
			return pos
		}
	}
	return pos
}

// lostMark tells whether a mark belongs at pos that is not there: a power cut that comes
// while the frame behind it is synced may take the mark's sector and leave that frame. No
// frame with a record is as short as the gap that is left.
func lostMark(data []byte, pos int) bool {
	if pos == 0 || len(data)-pos <= len(mark) {
		return false
	}
	_, ok := cut(data[pos+len(mark):])
	return ok
}

// cut returns the body of the whole frame at the beginning of b.
func cut(b []byte) ([]byte, bool) {
	if len(b) < headerSize {
		return nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > maxFrame || int(n) > len(b)-headerSize {
		return nil, false
	}
	body := b[headerSize : headerSize+int(n)]
	return body, crc32.Checksum(body, castagnoli) == binary.BigEndian.Uint32(b[4:])
}

func frame(records [][]byte) []byte {
	b := append([]byte(nil), emptyHeader[:]...)
	for _, r := range records {
		b = binary.BigEndian.AppendUint32(b, uint32(len(r)))
		b = append(b, r...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-headerSize))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[headerSize:], castagnoli))
	return b
}

// OnFailed sets what is called when a sync failed and nothing is written any more. The
// log is locked meanwhile.
func (l *Log) OnFailed(f func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onFailed = f
}

// Fail ends all writing: something else of the data directory failed.
func (l *Log) Fail(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("the data directory is read-only until the broker is restarted: %w", cause)
	}
}

// lost ends all writing after a failed sync: what reached the disk is not known. mu is
// held.
func (l *Log) lost(cause error) error {
	l.failed = fmt.Errorf("the cluster log could not be synced; nothing is written until the broker is restarted: %w", cause)
	l.onFailed(cause)
	return cause
}

// Append writes records and returns once they are durable. A write that fails, for
// lack of space, leaves the log as it was. After a failed sync nothing is written any
// more.
func (l *Log) Append(records ...[]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	b := frame(records)
	if _, err := l.f.WriteAt(b, l.end); err != nil {
		// A part of the frame may be there. The next one begins at the same place, but
		// may be shorter.
		if cut := l.f.Truncate(l.end); cut != nil {
			return l.lost(errors.Join(err, cut))
		}
		return err
	}
	if err := l.f.SyncData(); err != nil {
		return l.lost(err)
	}
	l.end += int64(len(b))
	// Without the mark nothing is lost but that damage to the frame will show.
	if _, err := l.f.WriteAt(mark, l.end); err == nil {
		l.end += int64(len(mark))
	}
	return nil
}

// Replace puts records in the place of all there are. Until the new file has its name
// a failure leaves the log as it was.
func (l *Log) Replace(records [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	b := append(frame(records), mark...)
	tmp := path.Join(l.dir, name+".new")
	f, err := l.fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.Rename(tmp, path.Join(l.dir, name))
	}
	if err != nil {
		return errors.Join(err, f.Close(), l.fs.Remove(tmp))
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return errors.Join(l.lost(err), f.Close())
	}
	old := l.f
	l.f, l.end = f, int64(len(b))
	return old.Close()
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = errors.New("the cluster log is closed")
	}
	return l.f.Close()
}
