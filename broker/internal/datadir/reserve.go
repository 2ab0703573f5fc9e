package datadir

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// reserveName is the file that holds the reserve's space.
const reserveName = "reserve"

// Reserve is a file system with some space put by for the broker's own needs: a file
// of the data directory that has its blocks and no contents.
//
// Any write that finds the disk full gives the file up and is tried again, but for
// WriteVAt, by which logs write what producers send: they ask Full first, and are
// refused until the space has come back and the reserve has been taken again. So a
// full disk stops producers, and offsets, transactions, topics, deletes and retention,
// by which it gets empty, go on.
//
// It is a file and not a look at the free space because others fill disks too: what
// lies in the file nobody else can take.
type Reserve struct {
	fsys.FS
	dir    string
	bytes  int64
	logger *slog.Logger

	mu   sync.Mutex
	file fsys.File // nil once it is given up
	full atomic.Bool

	given chan struct{} // the reserve was given up
	stop  chan struct{}
	done  chan struct{}
}

// OpenReserve takes a reserve of so many bytes in dir, a directory of fs. If they are
// not there, the disk counts as full from the start. Once it was given up, every
// interval is looked whether it can be taken again.
func OpenReserve(fs fsys.FS, dir string, bytes int64, interval time.Duration, logger *slog.Logger) *Reserve {
	r := &Reserve{
		FS: fs, dir: dir, bytes: bytes, logger: logger,
		given: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := r.take(); err != nil {
		r.full.Store(true)
		r.given <- struct{}{}
		r.logger.Error("the reserve of disk space cannot be taken: producers are refused until it can; "+
			"free some space, or set a smaller reserve", "dir", dir, "reserve_bytes", bytes, "err", err)
	}
	go r.watch(interval)
	return r
}

// Close ends the look for space. The file stays.
func (r *Reserve) Close() error {
	close(r.stop)
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Full says that the disk has no room for what producers send.
func (r *Reserve) Full() bool { return r.full.Load() }

// NoSpace is told that a write found the disk full; it gives the reserve up.
func (r *Reserve) NoSpace() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return
	}
	err := errors.Join(r.file.Close(), r.FS.Remove(path.Join(r.dir, reserveName)))
	r.file = nil
	r.full.Store(true)
	select {
	case r.given <- struct{}{}:
	default: // watch has yet to take the last one, and then looks at full
	}
	r.logger.Error("the disk is full: producers are refused with KAFKA_STORAGE_ERROR, which they try again, until there is space; "+
		"the rest goes on in what was kept in reserve. Free space on the disk, delete topics or records, or lower their retention; no restart is needed",
		"dir", r.dir, "reserve_bytes", r.bytes, "needs_free_bytes", r.enough(), "err", err)
}

// enough is how many free bytes end a full disk: the reserve and some more, so that
// it does not come and go with every batch.
func (r *Reserve) enough() int64 { return r.bytes + r.bytes/4 }

// watch takes the reserve again once there is space.
func (r *Reserve) watch(interval time.Duration) {
	defer close(r.done)
	for {
		select {
		case <-r.stop:
			return
		case <-r.given:
		}
		tick := time.NewTicker(interval)
		for r.full.Load() {
			select {
			case <-r.stop:
				tick.Stop()
				return
			case <-tick.C:
				r.retake()
			}
		}
		tick.Stop()
	}
}

func (r *Reserve) retake() {
	free, err := r.FS.Free(r.dir)
	if err != nil || free < r.enough() || r.take() != nil {
		return // the next time, perhaps
	}
	r.logger.Info("the disk has space again: producers are served", "dir", r.dir, "free_bytes", free)
}

// take makes the file, with all its blocks, if that leaves some space.
func (r *Reserve) take() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := path.Join(r.dir, reserveName)
	f, err := r.FS.Open(name)
	if errors.Is(err, fsys.ErrNotExist) {
		f, err = r.FS.Create(name)
	}
	if err != nil {
		return err
	}
	if err = f.Preallocate(0, r.bytes); errors.Is(err, errors.ErrUnsupported) {
		err = fill(f, r.bytes)
	}
	if free, ferr := r.FS.Free(r.dir); err == nil && ferr == nil && free < r.enough()-r.bytes {
		err = fmt.Errorf("beside it %d bytes are free: %w", free, fsys.ErrNoSpace)
	}
	if err != nil {
		return errors.Join(err, f.Close(), r.FS.Remove(name))
	}
	r.file = f
	r.full.Store(false)
	return nil
}

// fill writes zeros where there is no other way to take blocks.
func fill(f fsys.File, bytes int64) error {
	at, err := f.Size()
	zeros := make([]byte, 1<<20)
	for ; err == nil && at < bytes; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), bytes-at)], at)
	}
	return err
}

// again runs f, and once more if it found the disk full.
func (r *Reserve) again(f func() error) error {
	err := f()
	if fsys.IsNoSpace(err) {
		r.NoSpace()
		err = f()
	}
	return err
}

// Create implements fsys.FS.
func (r *Reserve) Create(name string) (f fsys.File, err error) {
	err = r.again(func() (err error) { f, err = r.FS.Create(name); return err })
	return r.wrap(f), err
}

// Open implements fsys.FS.
func (r *Reserve) Open(name string) (fsys.File, error) {
	f, err := r.FS.Open(name)
	return r.wrap(f), err
}

// Rename implements fsys.FS.
func (r *Reserve) Rename(from, to string) error {
	return r.again(func() error { return r.FS.Rename(from, to) })
}

// MkdirAll implements fsys.FS.
func (r *Reserve) MkdirAll(name string) error {
	return r.again(func() error { return r.FS.MkdirAll(name) })
}

func (r *Reserve) wrap(f fsys.File) fsys.File {
	if f == nil {
		return nil
	}
	w := &reserveFile{f, r}
	if d, ok := f.(fsys.Descriptor); ok {
		return &reserveDescriptor{w, d}
	}
	return w
}

// reserveFile is a file whose writes may use the reserve.
type reserveFile struct {
	fsys.File
	r *Reserve
}

func (f *reserveFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.r.again(func() (err error) { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

func (f *reserveFile) Truncate(size int64) error {
	return f.r.again(func() error { return f.File.Truncate(size) })
}

// reserveDescriptor is a reserveFile that the kernel can send from.
type reserveDescriptor struct {
	*reserveFile
	fsys.Descriptor
}
