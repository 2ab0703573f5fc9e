package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Open recovers the log in opts.Dir, or makes it.
func Open(opts Options) (*Log, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	l := &Log{opts: opts, cfg: opts.Config.WithDefaults(), producers: newProducers(opts.Now())}
	l.changed.L = &l.Mutex
	if err := l.openDir(); err != nil {
		return nil, err
	}
	if err := l.recover(); err != nil {
		for _, s := range l.segs {
			_ = s.file.Close()
		}
		return nil, fmt.Errorf("open log %s: %w", opts.Dir, err)
	}
	if err := opts.Committer.register(l); err != nil {
		l.closeSegments()
		return nil, fmt.Errorf("open log %s: %w", opts.Dir, err)
	}
	return l, nil
}

// openDir makes the directory, or checks that it is this topic's.
func (l *Log) openDir() error {
	fs, dir := l.opts.FS, l.opts.Dir
	_, missing := fs.Stat(dir)
	if err := makeDir(fs, dir); err != nil {
		return err
	}
	if err := checkIdentity(fs, dir, l.opts.ID); err != nil {
		return err
	}
	if errors.Is(missing, fsys.ErrNotExist) {
		return nil // its first segment is made next, and synced with all this
	}
	// A process that was killed may have left names that only its page cache knows;
	// what is shown from them must stay.
	return syncDir(fs, dir)
}

// makeDir makes a directory and missing parents, durably.
func makeDir(fs fsys.FS, dir string) error {
	_, err := fs.Stat(dir)
	if err == nil || !errors.Is(err, fsys.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

// syncDir makes names durable at the opening of a log. A failure is none to try again
// after: the name is found then, and taken for one that is on the disk.
func syncDir(fs fsys.FS, dir string) error {
	if err := fs.SyncDir(dir); err != nil {
		return lostSync(err)
	}
	return nil
}

// inventory is what the directory holds.
type inventory struct {
	segments  []int64 // base offsets, in order
	snapshots []int64 // offsets of producer snapshots, in order
}

// takeInventory lists the log's files and removes what unfinished work left, and
// segments that end below the log start.
func (l *Log) takeInventory() (inventory, error) {
	var inv inventory
	if err := resolveSwaps(l.opts.FS, l.opts.Dir); err != nil {
		return inv, err
	}
	entries, err := l.opts.FS.ReadDir(l.opts.Dir)
	if err != nil {
		return inv, err
	}
	for _, e := range entries {
		if base, ok := parseFileName(e.Name, logSuffix); ok {
			inv.segments = append(inv.segments, base)
		}
		if at, ok := parseFileName(e.Name, producersSuffix); ok {
			inv.snapshots = append(inv.snapshots, at)
		}
		if strings.HasSuffix(e.Name, tmpSuffix) {
			if err := l.opts.FS.Remove(filepath.Join(l.opts.Dir, e.Name)); err != nil {
				return inv, err
			}
		}
	}
	slices.Sort(inv.segments)
	slices.Sort(inv.snapshots)
	for len(inv.segments) > 1 && inv.segments[1] <= min(l.saved.start, l.saved.base) {
		if err := l.removeSegment(inv.segments[0]); err != nil {
			return inv, err
		}
		inv.segments = inv.segments[1:]
	}
	return inv, nil
}

func (l *Log) loadCheckpoint() (c checkpoint, ok bool, err error) {
	b, err := readFile(l.opts.FS, filepath.Join(l.opts.Dir, checkpointFile))
	if errors.Is(err, fsys.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	if c, err = decodeCheckpoint(b); err != nil {
		l.opts.Logger.Warn("both copies in a checkpoint are damaged: the log is read as a whole, and records of its first segment that had been deleted may be there again",
			"file", filepath.Join(l.opts.Dir, checkpointFile), "err", err)
		return checkpoint{}, false, nil
	}
	return c, true, nil
}

// loadEpochs reads the epoch checkpoint; a missing one is empty.
func (l *Log) loadEpochs() (epochs, error) {
	b, err := readFile(l.opts.FS, filepath.Join(l.opts.Dir, epochFile))
	if errors.Is(err, fsys.ErrNotExist) {
		return epochs{}, nil
	}
	if err != nil {
		return epochs{}, err
	}
	return decodeEpochs(b)
}
