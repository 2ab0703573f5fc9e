package commitlog

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Severity says what a finding means to the next start.
type Severity uint8

// The severities.
const (
	// Torn: bytes behind the end that were never acknowledged; a start cuts them off.
	Torn Severity = iota
	// Derived: a file that a start builds again.
	Derived
	// Damage: something that had been stored is not there; a start refuses the log.
	Damage
)

// Finding is something that is not as it should be.
type Finding struct {
	Severity
	File string
	Pos  int64
	Text string
}

// Inspection is what the files of a log say.
type Inspection struct {
	Segments   int
	Bytes      int64 // of whole batches
	Batches    int64
	Start, End int64 // offsets
	Findings   []Finding

	holes map[int64][]hole // by segment
	runs  []run
}

// Worst is the severity of the gravest finding; ok is false without any.
func (i *Inspection) Worst() (s Severity, ok bool) {
	for _, f := range i.Findings {
		s, ok = max(s, f.Severity), true
	}
	return s, ok
}

// hole is a place of a segment where batches are missing or not whole.
type hole struct {
	pos, to  int64 // bytes
	from     int64 // the offset expected there
	next     int64 // the offset behind it; -1 = unknown
	severity Severity
}

// inspector reads the files of one log.
type inspector struct {
	Inspection
	fs    fsys.FS
	dir   string
	c     checkpoint
	known bool // there is a checkpoint
	lost  bool // there was one
	// snapshots: there are producer snapshots, which come with checkpoints.
	snapshots bool
	must      place // how far the journal says that the log reaches
	end       int64 // the next offset expected
}

// run is where batches of one leader epoch begin, and the epoch they should have.
type run struct {
	base, pos    int64
	epoch, right int32
}

// Inspect reads every file of the log in dir and verifies every batch, as it will be
// once the journal has been written into it. It changes nothing.
func Inspect(fs fsys.FS, dir string, j *JournalContents) (Inspection, error) {
	x := &inspector{fs: fs, dir: dir, Inspection: Inspection{holes: map[int64][]hole{}}}
	patches, err := x.journal(j)
	if err != nil {
		return x.Inspection, err
	}
	if err := x.readCheckpoint(); err != nil {
		return x.Inspection, err
	}
	files, err := x.segments()
	if err != nil {
		return x.Inspection, err
	}
	if len(files) == 0 {
		if x.known && x.c.recovery > x.c.start {
			x.find(Damage, dir, 0, "no segment is there, offsets %d to %d had been stored", x.c.start, x.c.recovery-1)
		}
		x.Start, x.End = x.c.start, x.c.start
		return x.Inspection, nil
	}
	x.Segments = len(files)
	if !x.known && (files[0].base > 0 || x.snapshots) {
		if !x.lost {
			x.find(Derived, filepath.Join(dir, checkpointFile), 0, "it is missing: the log will be read as a whole")
		}
		x.lost = true
		if b, err := readFile(fs, filepath.Join(dir, epochFile)); err == nil {
			if e, err := decodeEpochs(b); err == nil && len(e.entries) > 0 {
				x.c.start = e.entries[0].start
			}
		}
	}
	x.Start, x.end = max(x.c.start, files[0].base), files[0].base
	if x.known && x.c.start < files[0].base && x.c.base < files[0].base {
		x.find(Damage, files[0].name, 0, "segments before it are missing: offsets %d to %d", x.c.start, files[0].base-1)
	}
	for i := range files {
		next := int64(-1)
		if i+1 < len(files) {
			next = files[i+1].base
		}
		if err := x.segment(&files[i], next, patches[files[i].base]); err != nil {
			return x.Inspection, err
		}
	}
	x.correctEpochs()
	x.End = x.end
	last := files[len(files)-1]
	if x.end < x.c.recovery || (place{last.base, last.size}).before(x.must) {
		text := fmt.Sprintf("the log ends at offset %d, more had been stored", x.end)
		if x.end < x.c.recovery {
			text = fmt.Sprintf("offsets %d to %d are missing at the end", x.end, x.c.recovery-1)
		}
		x.find(Damage, last.name, last.size, "%s", text)
	} else if x.known && !slices.ContainsFunc(files, func(f segmentFile) bool { return f.base == x.c.base }) {
		x.find(Damage, fileName(dir, x.c.base, logSuffix), 0, "the segment is missing; what had been stored in it is not known")
	}
	return x.Inspection, x.derived(files)
}

func (x *inspector) find(s Severity, file string, pos int64, format string, args ...any) {
	x.Findings = append(x.Findings, Finding{Severity: s, File: file, Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// journal returns what the journal has of the log, by segment.
func (x *inspector) journal(j *JournalContents) (map[int64][]journalEntry, error) {
	patches := map[int64][]journalEntry{}
	if j == nil {
		return patches, nil
	}
	for key, entries := range j.live {
		// Names in the journal are relative to the data directory, two levels up or more.
		if !strings.HasSuffix(x.dir, string(filepath.Separator)+filepath.FromSlash(key.dir)) && x.dir != key.dir {
			continue
		}
		if owns, err := ownsDir(x.fs, x.dir, key.id); err != nil || !owns {
			if err != nil {
				return nil, err
			}
			continue
		}
		for _, e := range entries {
			patches[e.base] = append(patches[e.base], e)
			if to := (place{e.base, e.pos + int64(len(e.data))}); x.must.before(to) {
				x.must = to
			}
		}
	}
	return patches, nil
}

func (x *inspector) readCheckpoint() error {
	name := filepath.Join(x.dir, checkpointFile)
	b, err := readFile(x.fs, name)
	if errors.Is(err, fsys.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, damaged := decodeCheckpoint(b)
	if x.c, x.known, x.lost = c, damaged == nil, damaged != nil; x.lost {
		x.c = checkpoint{}
		x.find(Derived, name, 0, "both copies are damaged: the log will be read as a whole, and records of its first segment that had been deleted may be there again")
		return nil
	}
	if len(b) > checkpointCopy {
		_, first := decodeCheckpointText(b[:checkpointCopy])
		_, second := decodeCheckpointText(b[checkpointCopy:])
		if err := errors.Join(first, second); err != nil {
			x.find(Derived, name, 0, "one of its two copies is damaged")
		}
	}
	return nil
}

// segmentFile is a segment as the directory has it.
type segmentFile struct {
	base int64
	name string
	size int64
	// swapped: the file of a compaction that was interrupted; a start finishes it.
	swapped bool
}

// segments lists them in order.
func (x *inspector) segments() ([]segmentFile, error) {
	entries, err := x.fs.ReadDir(x.dir)
	if err != nil {
		return nil, err
	}
	var files []segmentFile
	for _, e := range entries {
		if base, ok := parseFileName(e.Name, logSuffix); ok {
			files = append(files, segmentFile{base: base, name: filepath.Join(x.dir, e.Name)})
		}
		_, snapshot := parseFileName(e.Name, producersSuffix)
		x.snapshots = x.snapshots || snapshot
	}
	for _, e := range entries {
		if base, next, ok := parseSwapName(e.Name); ok {
			files = slices.DeleteFunc(files, func(f segmentFile) bool { return f.base >= base && f.base < next })
			files = append(files, segmentFile{base: base, name: filepath.Join(x.dir, e.Name), swapped: true})
		}
	}
	slices.SortFunc(files, func(a, b segmentFile) int { return int(min(1, max(-1, a.base-b.base))) })
	// A start removes segments below the log start.
	for len(files) > 1 && files[1].base <= min(x.c.start, x.c.base) {
		files = files[1:]
	}
	return files, nil
}

// segment reads all batches of a segment; next is where the one behind it begins, or -1.
func (x *inspector) segment(s *segmentFile, next int64, patches []journalEntry) error {
	file, err := x.fs.Open(s.name)
	if err != nil {
		return err
	}
	defer file.Close()
	var f fsys.File = &patched{File: file, patches: patches}
	if s.size, err = f.Size(); err != nil {
		return err
	}
	if s.base > x.end && !x.mayJump(s.base) {
		x.find(Damage, s.name, 0, "offsets %d to %d are missing before it", x.end, s.base-1)
	}
	x.end = max(x.end, s.base)
	idx := x.openIndexes(s)
	var found []hole
	var later []int32 // epochs of whole batches behind the last hole
	sc := scan{f: f, size: s.size}
	for sc.pos < s.size {
		pos := sc.pos
		_, info, ok, err := sc.next()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if ok && info.BaseOffset >= x.end && (next < 0 || info.LastOffset() < next) {
			if info.BaseOffset > x.end && !x.mayJump(x.end) {
				found = append(found, hole{pos: pos, to: pos, from: x.end, next: info.BaseOffset})
			}
			if n := len(x.runs); n == 0 || x.runs[n-1].epoch != info.LeaderEpoch {
				x.runs = append(x.runs, run{s.base, pos, info.LeaderEpoch, info.LeaderEpoch})
			}
			x.Batches++
			x.Bytes += int64(info.Size)
			x.end = info.NextOffset()
			if len(found) > 0 {
				later = append(later, info.LeaderEpoch)
			}
			idx.see(pos, &info)
			continue
		}
		at, info, ok, err := resync(f, pos+1, s.size, x.end)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		h := hole{pos: pos, to: s.size, from: x.end, next: next}
		if ok {
			h.to, h.next, x.end = at, info.BaseOffset, info.BaseOffset
		}
		found = append(found, h)
		sc = scan{f: f, pos: h.to, size: s.size}
	}
	rising := false
	for i := range later {
		rising = rising || later[i] > later[0]
	}
	for i := range found {
		h := &found[i]
		if next >= 0 || h.from < x.c.recovery || (place{s.base, h.pos}).before(x.must) || rising || (x.lost && len(later) > 0) {
			h.severity = Damage
		}
		x.report(s, h)
	}
	if len(found) > 0 {
		x.holes[s.base] = found
		if found[0].severity == Torn {
			x.end = found[0].from
		}
		return nil
	}
	if file, problem := idx.verdict(); problem != "" {
		x.find(Derived, file, 0, "%s", problem)
	}
	return nil
}

// openIndexes reads the index files as far as they count: those of a segment before
// the checkpoint's in full, of that one as far as the checkpoint says.
func (x *inspector) openIndexes(s *segmentFile) *indexCheck {
	switch {
	case !x.known, s.base > x.c.base, s.swapped, s.base == x.c.base && x.c.pos == 0:
		return &indexCheck{}
	case s.base == x.c.base:
		return newIndexCheck(x.fs, x.dir, s.base, x.c.offsets, x.c.times)
	}
	return newIndexCheck(x.fs, x.dir, s.base, -1, -1)
}

// correctEpochs finds runs of batches whose leader epochs do not fit those around them:
// the CRC does not cover epochs. Epochs never fall from batch to batch.
func (x *inspector) correctEpochs() {
	runs := x.runs
	for i := 1; i+1 < len(runs); i++ {
		if r := &runs[i]; runs[i-1].right <= runs[i+1].epoch && (r.epoch > runs[i+1].epoch || r.epoch < runs[i-1].right) {
			r.right = runs[i-1].right
		}
	}
	least := int32(math.MaxInt32)
	for i := len(runs) - 1; i >= 0; i-- {
		least = min(least, runs[i].right)
		runs[i].right = least
	}
	for _, r := range runs {
		if r.right != r.epoch {
			x.find(Damage, fileName(x.dir, r.base, logSuffix), r.pos, "leader epoch %d does not fit those around it, %d does; no record is lost", r.epoch, r.right)
		}
	}
}

// mayJump tells whether offsets may be missing there: compaction takes some away, below
// the checkpoint.
func (x *inspector) mayJump(offset int64) bool {
	return x.lost || (x.c.compacted > 0 && offset <= x.c.recovery)
}

func (x *inspector) report(s *segmentFile, h *hole) {
	switch {
	case h.severity == Torn:
		x.find(Torn, s.name, h.pos, "%d bytes behind the end were never acknowledged", s.size-h.pos)
	case h.next >= 0 && h.next > h.from:
		x.find(Damage, s.name, h.pos, "offsets %d to %d are in no whole batch, %d bytes", h.from, h.next-1, h.to-h.pos)
	default:
		x.find(Damage, s.name, h.pos, "no whole batch at offset %d, %d bytes", h.from, h.to-h.pos)
	}
}

// patched is a segment file as the journal makes it.
type patched struct {
	fsys.File
	patches []journalEntry
}

func (p *patched) Size() (int64, error) {
	size, err := p.File.Size()
	for _, e := range p.patches {
		if len(e.data) > 0 {
			size = max(size, e.pos+int64(len(e.data)))
		}
	}
	return size, err
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	if len(p.patches) == 0 {
		return p.File.ReadAt(b, off)
	}
	size, err := p.Size()
	if err != nil {
		return 0, err
	}
	n, err := p.File.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	want := int(max(0, min(int64(len(b)), size-off)))
	if n < want {
		clear(b[n:want])
	}
	for _, e := range p.patches {
		from, to := max(e.pos, off), min(e.pos+int64(len(e.data)), off+int64(want))
		if from < to {
			copy(b[from-off:to-off], e.data[from-e.pos:])
		}
	}
	if want < len(b) {
		return want, io.EOF
	}
	return want, nil
}

// derived looks at the files that belong to the log as a whole.
func (x *inspector) derived(files []segmentFile) error {
	for _, s := range files {
		name := fileName(x.dir, s.base, txnIndexSuffix)
		b, err := readFile(x.fs, name)
		if errors.Is(err, fsys.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := decodeTxns(b); err != nil {
			x.find(Derived, name, 0, "%v", err)
		}
	}
	name := filepath.Join(x.dir, epochFile)
	b, err := readFile(x.fs, name)
	if err == nil {
		_, err = decodeEpochs(b)
	}
	if err != nil && !errors.Is(err, fsys.ErrNotExist) {
		x.find(Derived, name, 0, "%v", err)
	}
	if x.known && x.c.recovery > files[0].base {
		name := fileName(x.dir, x.c.recovery, producersSuffix)
		if b, err = readFile(x.fs, name); err == nil {
			_, err = decodeProducers(b, time.Time{})
		}
		if err != nil {
			x.find(Derived, name, 0, "%v", err)
		}
	}
	return nil
}
