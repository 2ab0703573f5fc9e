// Package fsys is the file system as storage sees it: few operations, positional
// reads and writes, and syncs that are spelled out.
//
// OS is the real one. Mem is in memory and can be asked what a power cut would
// leave. Faulty wraps another one and makes chosen calls fail.
package fsys

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// FS is a file system. Names are slash-separated and relative to the process or
// absolute; nothing in it interprets "..".
//
// A file's bytes survive a power cut after Sync or SyncData, its name after
// SyncDir of the directory that holds it. Nothing else is promised.
type FS interface {
	// Create makes a file for reading and writing; an existing one is emptied.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Remove deletes a file or an empty directory.
	Remove(name string) error
	// RemoveAll deletes a tree; a missing one is no error.
	RemoveAll(name string) error
	// Rename moves a file or a directory, replacing a file at the new name.
	Rename(from, to string) error
	// MkdirAll makes a directory and its missing parents.
	MkdirAll(name string) error
	// ReadDir lists names in order.
	ReadDir(name string) ([]Entry, error)
	// Stat describes a file or directory.
	Stat(name string) (Entry, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on a file, made if it is missing. A lock
	// held elsewhere is ErrLocked.
	Lock(name string) (io.Closer, error)
	// Free is how many bytes can still be written under a directory.
	Free(name string) (int64, error)
}

// Entry is one name of a directory.
type Entry struct {
	Name string
	Dir  bool
	Size int64
}

// File is an open file. Reads and writes are positional and safe to call at the
// same time; there is no shared file position.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WriteVAt writes the buffers one after the other from off, in as few system
	// calls as possible, and returns how many bytes were written.
	WriteVAt(bufs [][]byte, off int64) (int64, error)
	// Truncate sets the size.
	Truncate(size int64) error
	// Sync makes bytes and size durable.
	Sync() error
	// SyncData makes the bytes durable, and the size where it changed, but may
	// leave out other attributes.
	SyncData() error
	// Preallocate takes the space for [off, off+n) without changing the size;
	// errors.ErrUnsupported where that cannot be done.
	Preallocate(off, n int64) error
	// Size is the current size.
	Size() (int64, error)
	Close() error
}

// Descriptor is implemented by files that the kernel can send from directly.
type Descriptor interface {
	// Fd is the file descriptor, valid until Close.
	Fd() uintptr
}

// ErrLocked is returned by Lock when another holder has the lock.
var ErrLocked = errors.New("fsys: locked by another process")

// IsNoSpace tells whether an error says that the disk, or what of it may be used, is
// full.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// ErrNotExist matches errors about missing names.
var ErrNotExist = fs.ErrNotExist
