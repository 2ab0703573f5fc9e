package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// evict makes the kernel forget the pages of all files below dir, so that they have
// to be read from the disk.
func evict(dir string) error {
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	syscall.Sync()     // only clean pages go
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
			return os.NewSyscallError("fadvise64", errno)
		}
		return nil
	})
}
