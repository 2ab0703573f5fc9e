package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// damagedSuffix ends the name under which a repair keeps a file as it was.
const damagedSuffix = ".damaged"

// RepairJournal ends a damaged journal: what is whole in it is written into the logs,
// and the files are put aside under names that end in .damaged.
func RepairJournal(fs fsys.FS, dir string, logger *slog.Logger) error {
	c, err := ReadJournal(fs, dir)
	if err != nil {
		return err
	}
	if _, err := c.replay(fs, dir, logger); err != nil {
		return err
	}
	for i := range journalNames {
		name := journalFile(dir, i)
		if err := fs.Rename(name, name+damagedSuffix); err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
	}
	return fs.SyncDir(dir)
}

// Repair brings a log to where it can be opened again: the whole batches of its
// segments stay, at their offsets, and what lies between them is given up. Damaged
// segments are kept beside it under names that end in .damaged. What is lost is what
// Inspect calls Damage; the journal must have been written into the log before.
func Repair(fs fsys.FS, dir string, logger *slog.Logger) error {
	found, err := Inspect(fs, dir, nil)
	if err != nil {
		return err
	}
	id, err := Identity(fs, dir)
	if err != nil {
		return err
	}
	saved := checkpoint{}
	if b, err := readFile(fs, filepath.Join(dir, checkpointFile)); err == nil {
		saved, _ = decodeCheckpoint(b) // damaged: then nothing is known
	}
	if err := resolveSwaps(fs, dir); err != nil {
		return err
	}
	bases := make([]int64, 0, len(found.holes))
	for base := range found.holes {
		bases = append(bases, base)
	}
	slices.Sort(bases)
	for _, base := range bases {
		if err := repairSegment(fs, fileName(dir, base, logSuffix), found.holes[base]); err != nil {
			return fmt.Errorf("%s: %w", fileName(dir, base, logSuffix), err)
		}
	}
	if err := correctEpochs(fs, dir); err != nil {
		return err
	}
	if err := forgetDerived(fs, dir, saved); err != nil {
		return err
	}
	return reopen(fs, dir, id, logger)
}

// repairSegment writes the segment again without its holes. The file as it was is
// copied first, so that nothing is lost for good, and replaced in one step.
func repairSegment(fs fsys.FS, name string, holes []hole) error {
	from, err := fs.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	size, err := from.Size()
	if err != nil {
		return err
	}
	if err := copyRanges(fs, from, name+damagedSuffix, [][2]int64{{0, size}}); err != nil {
		return err
	}
	var keep [][2]int64
	at := int64(0)
	for _, h := range holes {
		if h.severity == Torn {
			break // the start cuts it off, and all behind it
		}
		keep = append(keep, [2]int64{at, h.pos})
		at = h.to
	}
	keep = append(keep, [2]int64{at, size})
	if err := copyRanges(fs, from, name+tmpSuffix, keep); err != nil {
		return err
	}
	if err := fs.Rename(name+tmpSuffix, name); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(name))
}

// correctEpochs stamps the epochs that batches should have, in place: a repair that is
// cut short is run again.
func correctEpochs(fs fsys.FS, dir string) error {
	found, err := Inspect(fs, dir, nil)
	if err != nil {
		return err
	}
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for i, r := range found.runs {
		if r.right == r.epoch {
			continue
		}
		until := place{math.MaxInt64, 0}
		if i+1 < len(found.runs) {
			until = place{found.runs[i+1].base, found.runs[i+1].pos}
		}
		for _, e := range entries { // in order
			base, ok := parseFileName(e.Name, logSuffix)
			if !ok || base < r.base || base > until.base {
				continue
			}
			from := int64(0)
			if base == r.base {
				from = r.pos
			}
			if err := stampEpochs(fs, fileName(dir, base, logSuffix), base, from, until, r.right); err != nil {
				return err
			}
		}
	}
	return nil
}

func stampEpochs(fs fsys.FS, name string, base, pos int64, until place, epoch int32) error {
	f, err := fs.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	var buf [headerLen]byte
	for pos < size && (place{base, pos}).before(until) {
		info, err := headerAt(f, pos, size, &buf)
		if err != nil {
			break // a torn end
		}
		record.Stamp(buf[:], info.BaseOffset, epoch)
		if _, err := f.WriteAt(buf[:], pos); err != nil {
			return err
		}
		pos += int64(info.Size)
	}
	return f.Sync()
}

// copyRanges writes ranges of a file one after the other into a new one, durably.
func copyRanges(fs fsys.FS, from fsys.File, name string, ranges [][2]int64) error {
	to, err := fs.Create(name)
	if err != nil {
		return err
	}
	defer to.Close()
	var buf []byte
	end := int64(0)
	for _, r := range ranges {
		for at := r[0]; at < r[1]; {
			if buf, err = readInto(from, buf, at, min(scanChunk, r[1]-at)); err != nil {
				return err
			}
			if len(buf) == 0 {
				return fmt.Errorf("the file ends at %d, not at %d", at, r[1])
			}
			if _, err := to.WriteAt(buf, end); err != nil {
				return err
			}
			at += int64(len(buf))
			end += int64(len(buf))
		}
	}
	if err := to.Sync(); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(name))
}

// forgetDerived removes all derived files, and leaves a checkpoint that has the log
// read from its beginning.
func forgetDerived(fs fsys.FS, dir string, saved checkpoint) error {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return err
	}
	first := int64(-1)
	for _, e := range entries {
		if base, ok := parseFileName(e.Name, logSuffix); ok && (first < 0 || base < first) {
			first = base
		}
	}
	if first < 0 {
		first = saved.recovery // no segment is left: the log goes on where it was
		seg, err := createSegment(fs, dir, first)
		if err != nil {
			return err
		}
		if err := errors.Join(seg.file.Sync(), seg.file.Close(), fs.SyncDir(dir)); err != nil {
			return err
		}
	}
	// From a compacted log offsets are missing, and from this one.
	c := checkpoint{start: max(saved.start, first), recovery: first, base: first, compacted: max(saved.compacted, 1)}
	if err := replaceFile(fs, dir, checkpointFile, c.encode()); err != nil {
		return err
	}
	for _, e := range entries {
		derived := e.Name == epochFile
		for _, suffix := range []string{producersSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix} {
			derived = derived || strings.HasSuffix(e.Name, suffix)
		}
		if derived {
			if err := fs.Remove(filepath.Join(dir, e.Name)); err != nil {
				return err
			}
		}
	}
	return fs.SyncDir(dir)
}

// reopen opens the log once, which derives everything anew, and closes it with a
// checkpoint at its end.
func reopen(fs fsys.FS, dir string, id [16]byte, logger *slog.Logger) error {
	c, err := NewCommitter(CommitterConfig{FS: fs, Dir: filepath.Dir(dir), JournalBytes: -1, CleanEvery: -1, Logger: logger})
	if err != nil {
		return err
	}
	l, err := Open(Options{FS: fs, Dir: dir, ID: id, Committer: c, Owner: nobody{}, Logger: logger, Gaps: true})
	if err == nil {
		err = l.Close()
	}
	return errors.Join(err, c.Close())
}

// nobody is the owner of a log that nobody uses.
type nobody struct{}

func (nobody) Advanced()           {}
func (nobody) Failed(int64, error) {}

// Identity returns the topic's id that the directory says it has.
func Identity(fs fsys.FS, dir string) (id [16]byte, err error) {
	name := filepath.Join(dir, identityFile)
	b, err := readFile(fs, name)
	if err != nil {
		return id, err
	}
	if id = parseIdentity(string(b)); identity(id) != string(b) {
		return id, fmt.Errorf("%s is damaged", name)
	}
	return id, nil
}
