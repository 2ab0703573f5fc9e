// Package journal is an append-only file of JSON lines that survives what a
// process or a machine may do to it.
//
// What Append has returned for is on disk: a record is written, then fsynced,
// and callers that append at the same time share one fsync. A crash can only
// leave a torn tail behind what was acknowledged; Open cuts it off. A failed
// write or fsync ends the journal, it is never retried: after a failed fsync
// nobody knows what the page cache still holds.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// ErrClosed is returned by operations on a closed journal.
var ErrClosed = errors.New("journal is closed")

// Journal is an open journal file. Its methods may be called concurrently.
type Journal struct {
	path string
	file *os.File

	mu     sync.Mutex // guards end and failed, and orders the writes
	end    int64
	failed error

	// syncMu is held during an fsync; who waits for it finds, once it has it,
	// that the fsync before may have covered its record already.
	syncMu sync.Mutex
	synced int64
}

// Open opens the journal at path, creating it and its directory where they are
// missing, and calls replay for each record with the offset that Read takes. A
// torn tail is cut off; damage before intact records is an error.
func Open(path string, replay func(line []byte, at int64) error) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{path: path, file: file}
	if err := j.recover(replay); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return j, nil
}

// recover replays the intact records, cuts off a torn tail and makes the
// result durable, the file's name included.
func (j *Journal) recover(replay func([]byte, int64) error) error {
	if err := scan(j.file, func(line []byte, at int64) error {
		j.end = at + int64(len(line)) + 1
		return replay(line, at)
	}); err != nil {
		return err
	}
	if err := j.file.Truncate(j.end); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.synced = j.end
	return syncDir(filepath.Dir(j.path))
}

// Replay reads the records of the journal at path without opening it for
// writing, as a reader beside the process that appends to it. A missing file
// holds no records.
func Replay(path string, replay func(line []byte, at int64) error) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := scan(file, replay); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// scan calls replay for each intact record from the start.
func scan(r io.Reader, replay func([]byte, int64) error) error {
	var (
		br      = bufio.NewReaderSize(r, 64<<10)
		at      int64
		damaged = int64(-1)
	)
	for {
		line, err := br.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		whole := err == nil
		if whole {
			body := line[:len(line)-1]
			switch intact := json.Valid(body); {
			case !intact && damaged < 0:
				damaged = at
			case intact && damaged >= 0:
				return fmt.Errorf("damaged at byte %d, intact again at byte %d: this is more than a crash leaves behind", damaged, at)
			case intact:
				if err := replay(body, at); err != nil {
					return fmt.Errorf("record at byte %d: %w", at, err)
				}
			}
		}
		at += int64(len(line))
		if !whole {
			return nil
		}
	}
}

// Append writes v as one record and returns once it is on disk, with the
// offset that Read takes.
func (j *Journal) Append(v any) (at int64, err error) {
	at, end, err := j.write(v)
	if err != nil {
		return 0, err
	}
	return at, j.syncTo(end)
}

// Note writes v as one record and leaves it to the operating system when it
// reaches the disk: it survives the end of the process, not that of the machine.
func (j *Journal) Note(v any) error {
	_, _, err := j.write(v)
	return err
}

func (j *Journal) write(v any) (at, end int64, err error) {
	line, err := json.Marshal(v)
	if err != nil {
		return 0, 0, err
	}
	line = append(line, '\n')
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return 0, 0, j.failed
	}
	at = j.end
	if _, err := j.file.WriteAt(line, at); err != nil {
		j.failed = fmt.Errorf("write %s: %w", j.path, err)
		return 0, 0, j.failed
	}
	j.end += int64(len(line))
	return at, j.end, nil
}

// syncTo returns when the file is on disk up to end.
func (j *Journal) syncTo(end int64) error {
	j.syncMu.Lock()
	defer j.syncMu.Unlock()
	if j.synced >= end {
		return nil
	}
	j.mu.Lock()
	written, failed := j.end, j.failed
	j.mu.Unlock()
	if failed != nil {
		return failed
	}
	if err := j.file.Sync(); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.failed = fmt.Errorf("fsync %s: %w", j.path, err)
		return j.failed
	}
	j.synced = written
	return nil
}

// Read decodes the record at an offset given by Append or Open into v.
func (j *Journal) Read(at int64, v any) error {
	j.mu.Lock()
	end := j.end
	j.mu.Unlock()
	if at < 0 || at >= end {
		return fmt.Errorf("%s: no record at byte %d", j.path, at)
	}
	line, err := bufio.NewReader(io.NewSectionReader(j.file, at, end-at)).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: record at byte %d: %w", j.path, at, err)
	}
	return json.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), v)
}

// Close syncs what was noted and closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	if errors.Is(j.failed, ErrClosed) {
		j.mu.Unlock()
		return nil
	}
	end := j.end
	j.mu.Unlock()
	err := j.syncTo(end)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = ErrClosed
	return errors.Join(err, j.file.Close())
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
