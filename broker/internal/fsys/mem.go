package fsys

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
)

// sector is the unit a disk writes whole.
const sector = 512

// Mem is a file system in memory that knows what has been synced: Crash returns
// what a power cut at this moment could leave. Its methods may be called at the
// same time.
type Mem struct {
	mu    sync.Mutex
	root  *inode
	locks map[string]bool
	// capacity bounds the bytes of all files; 0 = unbounded.
	capacity, used int64
}

// inode is a file or a directory. For both, what is durable lags what is current:
// a file by its dirty sectors, a directory by its unsynced changes.
type inode struct {
	dir     bool
	data    []byte
	durable []byte
	dirty   map[int64]struct{} // sectors of data that durable does not have yet
	// reserved is how far space was preallocated; 0 = none. A power cut loses it.
	reserved int64

	names        map[string]*inode
	durableNames map[string]*inode
	changes      []change
}

// change is an entry set (inode) or removed (nil) since the last SyncDir. A rename
// is one change with two names: a file system moves a name as a whole.
type change struct {
	set, remove string
	node        *inode
}

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{root: newDir(), locks: map[string]bool{}} }

// SetCapacity bounds the bytes of all files together; writes beyond it fail with
// ErrNoSpace. 0 = unbounded.
func (m *Mem) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

func newDir() *inode {
	return &inode{dir: true, names: map[string]*inode{}, durableNames: map[string]*inode{}}
}

func split(name string) []string {
	name = path.Clean("/" + name)
	var parts []string
	for name != "/" {
		parts = append(parts, path.Base(name))
		name = path.Dir(name)
	}
	slices.Reverse(parts)
	return parts
}

// find returns the inode of name, or nil.
func (m *Mem) find(name string) *inode {
	n := m.root
	for _, part := range split(name) {
		if n == nil || !n.dir {
			return nil
		}
		n = n.names[part]
	}
	return n
}

// parent returns the directory that holds name, and the last element.
func (m *Mem) parent(op, name string) (*inode, string, error) {
	name = path.Clean("/" + name)
	d := m.find(path.Dir(name))
	if d == nil || !d.dir {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return d, path.Base(name), nil
}

func (d *inode) set(name string, n *inode) {
	d.names[name] = n
	d.changes = append(d.changes, change{set: name, node: n})
}

func (d *inode) unset(name string) {
	delete(d.names, name)
	d.changes = append(d.changes, change{remove: name})
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parent("create", name)
	if err != nil {
		return nil, err
	}
	n := d.names[base]
	if n == nil {
		n = &inode{dirty: map[int64]struct{}{}}
		d.set(base, n)
	} else if n.dir {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	} else {
		m.used -= n.space()
		n.truncate(0)
	}
	return &memFile{fs: m, n: n, name: name}, nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if n.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("is a directory")}
	}
	return &memFile{fs: m, n: n, name: name}, nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	n := d.names[base]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if n.dir && len(n.names) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: fmt.Errorf("directory not empty")}
	}
	m.used -= n.space()
	d.unset(base)
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parent("remove", name)
	if err != nil || d.names[base] == nil {
		return nil
	}
	m.used -= d.names[base].bytes()
	d.names[base].clear()
	d.unset(base)
	return nil
}

// clear removes what is in a directory name by name: a crash may come between.
func (n *inode) clear() {
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		n.names[name].clear()
		n.unset(name)
	}
}

// space is what the file takes of the capacity.
func (n *inode) space() int64 { return max(int64(len(n.data)), n.reserved) }

func (n *inode) bytes() int64 {
	total := n.space()
	for _, c := range n.names {
		total += c.bytes()
	}
	return total
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fd, fb, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	td, tb, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	n := fd.names[fb]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if old := td.names[tb]; old != nil {
		if old.dir && len(old.names) > 0 {
			return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
		}
		m.used -= old.space()
	}
	delete(fd.names, fb)
	td.names[tb] = n
	if fd == td {
		fd.changes = append(fd.changes, change{set: tb, remove: fb, node: n})
		return nil
	}
	td.changes = append(td.changes, change{set: tb, node: n})
	fd.changes = append(fd.changes, change{remove: fb})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.root
	for _, part := range split(name) {
		n := d.names[part]
		if n == nil {
			n = newDir()
			d.set(part, n)
		} else if !n.dir {
			return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
		}
		d = n
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.find(name)
	if d == nil || !d.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var entries []Entry
	for _, base := range slices.Sorted(maps.Keys(d.names)) {
		n := d.names[base]
		entries = append(entries, Entry{Name: base, Dir: n.dir, Size: int64(len(n.data))})
	}
	return entries, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n == nil {
		return Entry{}, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return Entry{Name: path.Base(name), Dir: n.dir, Size: int64(len(n.data))}, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.find(name)
	if d == nil || !d.dir {
		return &fs.PathError{Op: "syncdir", Path: name, Err: fs.ErrNotExist}
	}
	d.durableNames = maps.Clone(d.names)
	d.changes = nil
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, _, err := m.parent("lock", name); err != nil {
		return nil, err
	}
	name = path.Clean("/" + name)
	if m.locks[name] {
		return nil, ErrLocked
	}
	m.locks[name] = true
	return closerFunc(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.locks, name)
		return nil
	}), nil
}

// Free implements FS.
func (m *Mem) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return 1 << 50, nil
	}
	return max(0, m.capacity-m.used), nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }
