package fsys

import (
	"io"
	"io/fs"
)

// memFile is an open file of a Mem. The inode outlives its name, as on Unix.
type memFile struct {
	fs     *Mem
	n      *inode
	name   string
	closed bool
}

func (f *memFile) check(op string) error {
	if f.closed {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.WriteVAt([][]byte{p}, off)
	return int(n), err
}

func (f *memFile) WriteVAt(bufs [][]byte, off int64) (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("write"); err != nil {
		return 0, err
	}
	var written int64
	for _, b := range bufs {
		n, err := f.fs.write(f.n, b, off+written)
		written += int64(n)
		if err != nil {
			return written, &fs.PathError{Op: "write", Path: f.name, Err: err}
		}
	}
	return written, nil
}

// write writes as much as the capacity allows.
func (m *Mem) write(n *inode, b []byte, off int64) (int, error) {
	var err error
	if grow := off + int64(len(b)) - n.space(); grow > 0 && m.capacity > 0 && m.used+grow > m.capacity {
		fits := max(0, int64(len(b))-(m.used+grow-m.capacity))
		b, err = b[:fits], ErrNoSpace
	}
	if len(b) == 0 {
		return 0, err
	}
	before := n.space()
	n.grow(off + int64(len(b)))
	m.used += n.space() - before
	copy(n.data[off:], b)
	n.touch(off, off+int64(len(b)))
	return len(b), err
}

// grow extends the file with zeros.
func (n *inode) grow(size int64) {
	if old := int64(len(n.data)); size > old {
		n.data = append(n.data, make([]byte, size-old)...)
		n.touch(old, size)
	}
}

// touch marks the sectors of [from, to) as not durable.
func (n *inode) touch(from, to int64) {
	for s := from / sector; s*sector < to; s++ {
		n.dirty[s] = struct{}{}
	}
}

func (n *inode) truncate(size int64) {
	n.reserved = 0
	if size < int64(len(n.data)) {
		n.touch(size, int64(len(n.data)))
		n.data = n.data[:size:size]
		return
	}
	n.grow(size)
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("truncate"); err != nil {
		return err
	}
	before := f.n.space()
	if f.fs.capacity > 0 && f.fs.used+size-before > f.fs.capacity {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: ErrNoSpace}
	}
	f.n.truncate(size)
	f.fs.used += f.n.space() - before
	return nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("sync"); err != nil {
		return err
	}
	n := f.n
	if d := len(n.data); len(n.durable) > d {
		n.durable = n.durable[:d:d]
	} else {
		n.durable = append(n.durable, make([]byte, d-len(n.durable))...)
	}
	for s := range n.dirty {
		if from := s * sector; from < int64(len(n.data)) {
			copy(n.durable[from:], n.data[from:min(from+sector, int64(len(n.data)))])
		}
	}
	clear(n.dirty)
	return nil
}

func (f *memFile) SyncData() error { return f.Sync() }

func (f *memFile) Preallocate(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("preallocate"); err != nil {
		return err
	}
	grow := max(0, off+n-f.n.space())
	if f.fs.capacity > 0 && f.fs.used+grow > f.fs.capacity {
		return &fs.PathError{Op: "preallocate", Path: f.name, Err: ErrNoSpace}
	}
	f.n.reserved = max(f.n.reserved, off+n)
	f.fs.used += grow
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.n.data)), f.check("size")
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.check("close")
	f.closed = true
	return err
}
