package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// dirLock marks a data directory as ours for as long as this process lives. The
// kernel releases it with the process, so that a lock held means a living owner.
type dirLock struct{ file *os.File }

// lockDir takes the lock. A predecessor that was just killed may need a moment to
// be gone; a living one is ErrInUse.
func lockDir(ctx context.Context, path string) (*dirLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for tries := 50; ; tries-- { // for a second, of which a machine that stands still takes nothing away
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return &dirLock{file}, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if tries == 0 {
			_ = file.Close()
			return nil, fmt.Errorf("%w (%s is locked): stop that process, or use another data directory", ErrInUse, path)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			_ = file.Close()
			return nil, err
		}
	}
}

func (l *dirLock) release() {
	if l != nil {
		_ = l.file.Close()
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
