package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// A compacted segment takes the place of one or more old ones in steps that a crash
// may come between:
//
//  1. The new files are written under names that end in .cleaned, and synced.
//  2. The new log file is renamed to <base>-<next>.swap: from here on it counts, for
//     all segments from base up to, not including, next.
//  3. The old segments go and the new derived files get their names.
//  4. The new log file gets its name.
//
// Each step's names are synced before the next one. A start finishes what has reached
// step 2 and removes what has not.
const (
	cleanedSuffix = ".cleaned"
	swapSuffix    = ".swap"
)

var derivedSuffixes = []string{indexSuffix, timeIndexSuffix, txnIndexSuffix}

func swapName(base, next int64) string { return fmt.Sprintf("%020d-%020d%s", base, next, swapSuffix) }

func parseSwapName(name string) (base, next int64, ok bool) {
	name, ok = strings.CutSuffix(name, swapSuffix)
	if !ok || len(name) != 41 || name[20] != '-' {
		return 0, 0, false
	}
	base, err1 := strconv.ParseInt(name[:20], 10, 64)
	next, err2 := strconv.ParseInt(name[21:], 10, 64)
	return base, next, err1 == nil && err2 == nil && base < next
}

// cleanGroup writes the views' segments again as one and puts it in their place. It
// returns false, with nothing changed, when the log has changed meanwhile.
func (l *Log) cleanGroup(c *cleaner, views []view) (ok bool, err error) {
	base, next := views[0].seg.base, views[len(views)-1].next
	s := newSegment(l.opts.FS, l.opts.Dir, base)
	name := fileName(l.opts.Dir, base, logSuffix) + cleanedSuffix
	if s.file, err = l.opts.FS.Create(name); err != nil {
		return false, err
	}
	swapping := false
	defer func() {
		if !ok && swapping && err != nil {
			_ = s.file.Close() // a start resolves what the files are
		} else if !ok {
			_ = s.file.Close()
			for _, suffix := range append([]string{logSuffix}, derivedSuffixes...) {
				_ = l.opts.FS.Remove(fileName(l.opts.Dir, base, suffix) + cleanedSuffix)
			}
		}
	}()
	if err := l.writeCleaned(c, views, s); err != nil {
		return false, err
	}
	s.next = next
	s.noteTime()
	if err := errors.Join(
		s.file.SyncData(),
		replaceCleaned(l.opts.FS, s.offsets.name, s.offsets.mem),
		replaceCleaned(l.opts.FS, s.times.name, s.times.mem),
		replaceCleaned(l.opts.FS, fileName(s.dir, base, txnIndexSuffix), encodeTxns(s.txns)),
		l.opts.FS.SyncDir(l.opts.Dir),
	); err != nil {
		return false, err
	}
	s.synced, s.sealed, s.scrubbed = s.size, true, l.opts.Now()
	s.offsets.inFile, s.times.inFile = true, true
	s.offsets.mem, s.times.mem = nil, nil
	swapping = true
	return l.swap(s, views, next)
}

func replaceCleaned(fs fsys.FS, name string, b []byte) error {
	f, err := fs.Create(name + cleanedSuffix)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.SyncData()
}

// cleanedChunk is how much is gathered before it is written.
const cleanedChunk = 1 << 20

// writeCleaned writes what stays of the views' batches into s.
func (l *Log) writeCleaned(c *cleaner, views []view, s *segment) error {
	var buf []byte
	var flushed int64
	flush := func() (err error) {
		if l.opts.Internal {
			_, err = s.file.WriteAt(buf, flushed)
		} else {
			_, err = s.file.WriteVAt([][]byte{buf}, flushed) // not of the reserve
		}
		flushed += int64(len(buf))
		buf = buf[:0]
		return err
	}
	for i := range views {
		v := &views[i]
		sc := scan{f: v.seg.file, size: v.size}
		for {
			b, info, ok, err := sc.next()
			if err == nil && l.closing.Load() {
				err = errClosing
			}
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			out, ended, err := c.clean(b, &info)
			if err != nil {
				return err
			}
			if out == nil {
				continue
			}
			if ended != nil {
				s.txns = append(s.txns, *ended)
			}
			kept, err := record.ParseHeader(out)
			if err != nil {
				return err
			}
			s.note(&kept, c.plan.cfg.IndexInterval)
			if buf = append(buf, out...); len(buf) >= cleanedChunk {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if sc.pos < v.size {
			return &DamageError{File: fileName(v.seg.dir, v.seg.base, logSuffix), Pos: sc.pos, Err: errNoBatch}
		}
	}
	s.txnsFlushed = len(s.txns)
	return flush()
}

// swap puts s in the place of the views' segments. From the first rename on, a failure
// stops the log: its files are between two states, which a start resolves.
func (l *Log) swap(s *segment, views []view, next int64) (ok bool, err error) {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.io.Lock()
	defer l.io.Unlock()
	l.Lock()
	first := slices.Index(l.segs, views[0].seg)
	same := l.Refuses() == nil && first >= 0 && first+len(views) < len(l.segs)
	for i := range views {
		same = same && l.segs[first+i] == views[i].seg
	}
	l.Unlock()
	if !same {
		return false, nil
	}
	// The journal may have batches of the old segments, at their old positions. They
	// are void once the segments have everything.
	upTo, err := l.syncFiles()
	l.synced(upTo, err)
	if err != nil {
		return false, err
	}
	if err := l.opts.Committer.void(l); err != nil {
		return false, err
	}
	fs, dir := l.opts.FS, l.opts.Dir
	name := swapName(s.base, next)
	err = fs.Rename(fileName(dir, s.base, logSuffix)+cleanedSuffix, filepath.Join(dir, name))
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err == nil {
		bases := make([]int64, len(views))
		for i := range views {
			bases[i] = views[i].seg.base
		}
		err = finishSwap(fs, dir, name, bases)
	}
	l.Lock()
	defer l.Unlock()
	if err != nil {
		l.stop(l.storageError("swap in a compacted segment", err))
		return false, err
	}
	l.segs = slices.Concat(l.segs[:first], []*segment{s}, l.segs[first+len(views):])
	l.places.renew()
	for i := range views {
		views[i].seg.release() // its names are gone or another's already
	}
	return true, nil
}

// finishSwap does steps 3 and 4. bases are the old segments.
func finishSwap(fs fsys.FS, dir, name string, bases []int64) error {
	base, next, ok := parseSwapName(name)
	if !ok {
		return fmt.Errorf("%s is not the name of a compacted segment", name)
	}
	for _, old := range bases {
		if old <= base || old >= next {
			continue
		}
		for _, suffix := range append([]string{logSuffix}, derivedSuffixes...) {
			if err := fs.Remove(fileName(dir, old, suffix)); err != nil && !errors.Is(err, fsys.ErrNotExist) {
				return err
			}
		}
	}
	for _, suffix := range derivedSuffixes {
		to := fileName(dir, base, suffix)
		if err := fs.Rename(to+cleanedSuffix, to); err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
	}
	if err := fs.SyncDir(dir); err != nil {
		return err
	}
	if err := fs.Rename(filepath.Join(dir, name), fileName(dir, base, logSuffix)); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// resolveSwaps finishes what a crash interrupted, or undoes it. It runs before the
// segments are looked at.
func resolveSwaps(fs fsys.FS, dir string) error {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return err
	}
	var bases []int64
	for _, e := range entries {
		if base, ok := parseFileName(e.Name, logSuffix); ok {
			bases = append(bases, base)
		}
	}
	for _, e := range entries {
		if _, _, ok := parseSwapName(e.Name); ok {
			if err := finishSwap(fs, dir, e.Name, bases); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name, cleanedSuffix) {
			continue
		}
		if err := fs.Remove(filepath.Join(dir, e.Name)); err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
	}
	return nil
}
