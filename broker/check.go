package broker

import (
	"errors"
	"fmt"
	"io"
	"path"

	"log/slog"

	"github.com/quokka-stream/quokka/broker/internal/check"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// ErrDamaged says that a data directory holds something that a start refuses.
var ErrDamaged = errors.New("the data directory is damaged")

// Check reads every file in a data directory that no broker runs on, verifies every
// batch of every partition, and prints a table of what it found. It changes nothing.
// The error is ErrDamaged when a start would refuse something; a torn end and files that
// a start builds again are none.
func Check(dataDir string, out io.Writer) error {
	unlock, err := lockDir(fsys.ReadOnly, dataDir)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := check.Directory(fsys.ReadOnly, dataDir)
	if err != nil {
		return err
	}
	r.Write(out)
	if r.Damaged() {
		return ErrDamaged
	}
	return nil
}

// Repair prints what a repair of damaged files would lose: the files named, or all there
// are. Only with apply it is done, which keeps every file that it replaces under a name
// that ends in .damaged. Without a data directory it is the one that the first file is in.
func Repair(dataDir string, files []string, apply bool, out io.Writer) error {
	if dataDir == "" {
		if len(files) == 0 {
			return errors.New("nothing to repair was named: give a data directory (--data-dir) or a file of one")
		}
		dir, ok := check.DataDir(fsys.ReadOnly, files[0])
		if !ok {
			return fmt.Errorf("%s lies in no broker's data directory: none above it has a cluster.log", files[0])
		}
		dataDir = dir
	}
	fs := fsys.ReadOnly
	if apply {
		fs = fsys.OS
	}
	unlock, err := lockDir(fs, dataDir)
	if err != nil {
		return err
	}
	defer unlock()
	return check.Repair(fs, dataDir, files, apply, out, slog.New(slog.DiscardHandler))
}

// lockDir makes sure that no broker runs on the directory.
func lockDir(fs fsys.FS, dir string) (unlock func(), err error) {
	lock, err := fs.Lock(path.Join(dir, ".lock"))
	if errors.Is(err, fsys.ErrLocked) {
		return nil, fmt.Errorf("a broker runs on %s: stop it first", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the data directory %s: %w", dir, err)
	}
	return func() { _ = lock.Close() }, nil
}
