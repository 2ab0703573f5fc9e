package fsys

import (
	"errors"
	"io"
	"os"
)

// ErrReadOnly is the answer of ReadOnly to everything that would change something.
var ErrReadOnly = errors.New("fsys: opened for reading only")

// ReadOnly is the operating system's file system, for looking: it also serves what the
// process may not write.
var ReadOnly FS = readOnlyFS{}

type readOnlyFS struct{ osFS }

func (readOnlyFS) Create(string) (File, error) { return nil, ErrReadOnly }
func (readOnlyFS) Remove(string) error         { return ErrReadOnly }
func (readOnlyFS) RemoveAll(string) error      { return ErrReadOnly }
func (readOnlyFS) Rename(string, string) error { return ErrReadOnly }
func (readOnlyFS) MkdirAll(string) error       { return ErrReadOnly }
func (readOnlyFS) SyncDir(string) error        { return ErrReadOnly }

func (readOnlyFS) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return &osFile{f}, nil
}

// Lock takes the lock where its file is there; nobody holds one that is not.
func (readOnlyFS) Lock(name string) (io.Closer, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return closerFunc(func() error { return nil }), nil
	}
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
