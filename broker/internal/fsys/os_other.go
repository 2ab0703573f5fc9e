//go:build !linux

package fsys

import (
	"errors"
	"os"
	"runtime"
)

func writeVAt(f *os.File, bufs [][]byte, off int64) (int64, error) {
	var written int64
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+written)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func syncData(f *os.File) error { return f.Sync() }

// syncDir does nothing on Windows, where directories cannot be synced.
func syncDir(d *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return d.Sync()
}

func preallocate(*os.File, int64, int64) error { return errors.ErrUnsupported }
