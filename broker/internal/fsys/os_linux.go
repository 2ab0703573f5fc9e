package fsys

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// maxIovecs is IOV_MAX.
const maxIovecs = 1024

func writeVAt(f *os.File, bufs [][]byte, off int64) (int64, error) {
	var stack [64]syscall.Iovec
	iovs := stack[:0]
	var written int64
	skip := 0 // bytes of bufs[0] already written
	for len(bufs) > 0 {
		iovs = iovs[:0]
		for i, b := range bufs {
			if i == 0 {
				b = b[skip:]
			}
			if len(b) == 0 {
				continue
			}
			if len(iovs) == maxIovecs {
				break
			}
			v := syscall.Iovec{Base: unsafe.SliceData(b)}
			v.SetLen(len(b))
			iovs = append(iovs, v)
		}
		if len(iovs) == 0 {
			return written, nil
		}
		pos := off + written
		n, _, errno := syscall.Syscall6(syscall.SYS_PWRITEV, f.Fd(), uintptr(unsafe.Pointer(&iovs[0])), uintptr(len(iovs)), uintptr(pos), uintptr(uint64(pos)>>32), 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return written, &os.PathError{Op: "pwritev", Path: f.Name(), Err: errno}
		}
		if n == 0 {
			return written, io.ErrShortWrite
		}
		written += int64(n)
		for skip += int(n); len(bufs) > 0 && skip >= len(bufs[0]); bufs = bufs[1:] {
			skip -= len(bufs[0])
		}
	}
	return written, nil
}

func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

func syncDir(d *os.File) error { return d.Sync() }

func preallocate(f *os.File, off, n int64) error {
	const keepSize = 1
	err := syscall.Fallocate(int(f.Fd()), keepSize, off, n)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return errors.ErrUnsupported
	}
	return os.NewSyscallError("fallocate", err)
}
