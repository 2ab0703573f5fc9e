package fsys

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
)

// Errors as a real file system returns them.
var (
	ErrNoSpace error = syscall.ENOSPC
	ErrIO      error = syscall.EIO
)

// Call is one call to a file system.
type Call struct {
	N    int64  // how many calls went before
	Op   string // create open remove removeall rename mkdir readdir stat syncdir lock read write truncate sync preallocate size
	Name string
}

// Mutates tells whether the call can change what a crash leaves.
func (c Call) Mutates() bool {
	switch c.Op {
	case "open", "readdir", "stat", "lock", "read", "size":
		return false
	}
	return true
}

// Faulty passes calls on to FS, after asking Hook. An error from Hook is the
// call's: nothing is done, except that a write failing with ErrShort writes half.
type Faulty struct {
	FS
	// Hook is asked before each call; it may be called at the same time.
	Hook  func(Call) error
	calls atomic.Int64
}

// ErrShort makes a write write half of its bytes and fail for lack of space.
var ErrShort = fmt.Errorf("short write: %w", ErrNoSpace)

// Nth returns a Hook that fails the n-th call (from 0) that mutates, once.
func Nth(n int64, err error) func(Call) error {
	var seen atomic.Int64
	return func(c Call) error {
		if c.Mutates() && seen.Add(1)-1 == n {
			return fmt.Errorf("%s %s: injected: %w", c.Op, c.Name, err)
		}
		return nil
	}
}

func (f *Faulty) ask(op, name string) error {
	c := Call{N: f.calls.Add(1) - 1, Op: op, Name: name}
	if f.Hook == nil {
		return nil
	}
	return f.Hook(c)
}

// Create implements FS.
func (f *Faulty) Create(name string) (File, error) {
	if err := f.ask("create", name); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.FS.Create(name))
}

// Open implements FS.
func (f *Faulty) Open(name string) (File, error) {
	if err := f.ask("open", name); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.FS.Open(name))
}

func (f *Faulty) wrap(name string) func(File, error) (File, error) {
	return func(file File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &faultyFile{File: file, fs: f, name: name}, nil
	}
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	if err := f.ask("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// RemoveAll implements FS.
func (f *Faulty) RemoveAll(name string) error {
	if err := f.ask("removeall", name); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// Rename implements FS.
func (f *Faulty) Rename(from, to string) error {
	if err := f.ask("rename", to); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string) error {
	if err := f.ask("mkdir", name); err != nil {
		return err
	}
	return f.FS.MkdirAll(name)
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(name string) ([]Entry, error) {
	if err := f.ask("readdir", name); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(name)
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (Entry, error) {
	if err := f.ask("stat", name); err != nil {
		return Entry{}, err
	}
	return f.FS.Stat(name)
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(name string) error {
	if err := f.ask("syncdir", name); err != nil {
		return err
	}
	return f.FS.SyncDir(name)
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) {
	if err := f.ask("lock", name); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

type faultyFile struct {
	File
	fs   *Faulty
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.ask("read", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.WriteVAt([][]byte{p}, off)
	return int(n), err
}

func (f *faultyFile) WriteVAt(bufs [][]byte, off int64) (int64, error) {
	err := f.fs.ask("write", f.name)
	if err == nil {
		return f.File.WriteVAt(bufs, off)
	}
	if !errors.Is(err, ErrShort) {
		return 0, err
	}
	var all []byte
	for _, b := range bufs {
		all = append(all, b...)
	}
	n, werr := f.File.WriteAt(all[:len(all)/2], off)
	if werr != nil {
		err = werr
	}
	return int64(n), err
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.ask("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.ask("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) SyncData() error {
	if err := f.fs.ask("sync", f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *faultyFile) Preallocate(off, n int64) error {
	if err := f.fs.ask("preallocate", f.name); err != nil {
		return err
	}
	return f.File.Preallocate(off, n)
}

func (f *faultyFile) Size() (int64, error) {
	if err := f.fs.ask("size", f.name); err != nil {
		return 0, err
	}
	return f.File.Size()
}
