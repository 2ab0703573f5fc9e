package commitlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// journalEntry is an entry as found in a journal file.
type journalEntry struct {
	kind      byte
	dir       string
	id        [16]byte
	base, pos int64
	data      []byte
}

// journalRecord is a whole record of a journal file.
type journalRecord struct {
	gen, seq uint64
	at, end  int64 // its place in the file, its padding included
	entries  []journalEntry
}

// parseRecord returns the whole record at the beginning of b.
func parseRecord(b []byte) (r journalRecord, ok bool) {
	be := binary.BigEndian
	if len(b) < journalHeader || be.Uint32(b) != journalMagic {
		return r, false
	}
	n := int64(be.Uint32(b[24:]))
	if n > int64(len(b)-journalHeader) {
		return r, false
	}
	r.end = journalHeader + n
	if crc32.Checksum(b[8:r.end], castagnoli) != be.Uint32(b[4:]) {
		return r, false
	}
	r.gen, r.seq = be.Uint64(b[8:]), be.Uint64(b[16:])
	r.entries, ok = parseEntries(b[journalHeader:r.end])
	r.end = (r.end + journalAlign - 1) / journalAlign * journalAlign
	return r, ok
}

// parseJournal returns the records of a journal file that were written in its last
// turn. holes are positions where one is not whole although one behind it is.
func parseJournal(b []byte) (records []journalRecord, holes []int64) {
	var all []journalRecord
	gen := uint64(0)
	for at := int64(0); at < int64(len(b)); {
		r, ok := parseRecord(b[at:])
		if !ok {
			at += journalAlign
			continue
		}
		r.at, r.end = at, at+r.end
		gen = max(gen, r.gen)
		all = append(all, r)
		at = r.end
	}
	end := int64(0)
	for _, r := range all {
		if r.gen != gen {
			continue // of an earlier turn, behind the end of this one
		}
		if k := len(records); r.at != end || (k > 0 && r.seq != records[k-1].seq+1) {
			holes = append(holes, end)
		}
		records, end = append(records, r), r.end
	}
	return records, holes
}

func parseEntries(b []byte) ([]journalEntry, bool) {
	var out []journalEntry
	be := binary.BigEndian
	for len(b) > 0 {
		e := journalEntry{kind: b[0]}
		b = b[1:]
		if e.kind == entryReset {
			out = append(out, e)
			continue
		}
		if len(b) < 2 || len(b) < 2+int(be.Uint16(b))+16 {
			return nil, false
		}
		n := int(be.Uint16(b))
		e.dir = string(b[2 : 2+n])
		copy(e.id[:], b[2+n:])
		b = b[2+n+16:]
		switch e.kind {
		case entryVoid:
		case entryData, entryMark:
			if len(b) < 16 {
				return nil, false
			}
			e.base, e.pos = int64(be.Uint64(b)), int64(be.Uint64(b[8:]))
			if b = b[16:]; e.pos < 0 || e.base < 0 {
				return nil, false
			}
			if e.kind == entryMark {
				break
			}
			if len(b) < 4 || int64(len(b)-4) < int64(be.Uint32(b)) {
				return nil, false
			}
			size := be.Uint32(b)
			e.data, b = b[4:4+size], b[4+size:]
		default:
			return nil, false
		}
		out = append(out, e)
	}
	return out, true
}

// logKey names a log in the journal.
type logKey struct {
	dir string
	id  [16]byte
}

// JournalContents is what the journal of a data directory says.
type JournalContents struct {
	// Records is how many whole records are in it.
	Records int
	// Damage says that a record which had been synced is not whole; nil = none.
	Damage *DamageError

	gen, seq uint64
	live     map[logKey][]journalEntry // data and marks that are not void
}

// ReadJournal reads the journal in dir, and changes nothing.
func ReadJournal(fs fsys.FS, dir string) (c JournalContents, err error) {
	type read struct {
		file    string
		records []journalRecord
		holes   []int64
	}
	var files []read
	var records []journalRecord
	for i := range journalNames {
		name := journalFile(dir, i)
		b, err := readFile(fs, name)
		if errors.Is(err, fsys.ErrNotExist) {
			continue
		}
		if err != nil {
			return c, err
		}
		r := read{file: name}
		if r.records, r.holes = parseJournal(b); len(r.records) == 0 {
			continue
		}
		files = append(files, r)
		records = append(records, r.records...)
	}
	slices.SortFunc(records, func(a, b journalRecord) int { return cmp.Compare(a.seq, b.seq) })
	slices.SortFunc(files, func(a, b read) int { return cmp.Compare(a.records[0].gen, b.records[0].gen) })
	c.live, c.Records = map[logKey][]journalEntry{}, len(records)
	reset := uint64(0) // the record that made those before it worthless
	for _, r := range records {
		c.gen, c.seq = max(c.gen, r.gen), max(c.seq, r.seq)
		for _, e := range r.entries {
			key := logKey{e.dir, e.id}
			switch e.kind {
			case entryReset:
				clear(c.live)
				reset = r.seq
			case entryVoid:
				delete(c.live, key)
			case entryData, entryMark:
				c.live[key] = append(c.live[key], e)
			}
		}
	}
	for i, f := range files {
		last := f.records[len(f.records)-1]
		switch {
		case last.seq < reset:
		case len(f.holes) > 0:
			c.Damage = &DamageError{File: f.file, Pos: f.holes[0], Err: errors.New("a record that had been synced is not whole")}
		case i+1 < len(files) && files[i+1].records[0].gen == last.gen+1 && files[i+1].records[0].seq != last.seq+1:
			c.Damage = &DamageError{File: f.file, Pos: last.end, Err: errors.New("records that had been synced are missing")}
		}
	}
	return c, nil
}

// replayJournal writes what the journal holds into the segments and makes it durable
// there. It runs before any log is opened, and can be cut short and run again.
// ends says, by directory, how far each log must reach now.
//
// A damaged journal is refused as a whole: which logs it spoke of is not known.
func replayJournal(fs fsys.FS, dir string, log *slog.Logger) (gen, seq uint64, ends map[string]place, err error) {
	c, err := ReadJournal(fs, dir)
	if err != nil {
		return 0, 0, nil, err
	}
	if c.Damage != nil {
		return 0, 0, nil, c.Damage
	}
	ends, err = c.replay(fs, dir, log)
	return c.gen, c.seq, ends, err
}

// replay writes the entries into the segments.
func (c *JournalContents) replay(fs fsys.FS, dir string, log *slog.Logger) (ends map[string]place, err error) {
	written := 0
	ends = map[string]place{}
	for _, key := range slices.SortedFunc(maps.Keys(c.live), func(a, b logKey) int { return cmp.Compare(a.dir, b.dir) }) {
		path := key.path(dir)
		n, end, err := replayLog(fs, path, key.id, c.live[key])
		if err != nil {
			return nil, fmt.Errorf("the commit journal cannot be written into the log %s, and is kept: free space on the disk, or mend it, or start from a copy of the data directory on a sound one: %w", path, err)
		}
		if end != (place{}) {
			ends[path] = end
		}
		written += n
	}
	if written > 0 {
		log.Info("wrote the commit journal into the logs", "logs", len(c.live), "bytes", written)
	}
	return ends, nil
}

// path is the log's directory.
func (k logKey) path(dataDir string) string {
	if filepath.IsAbs(k.dir) {
		return k.dir
	}
	return filepath.Join(dataDir, k.dir)
}

// ownsDir tells whether the directory is the topic's with this id, and there.
func ownsDir(fs fsys.FS, dir string, id [16]byte) (bool, error) {
	got, err := readFile(fs, filepath.Join(dir, identityFile))
	if errors.Is(err, fsys.ErrNotExist) {
		return false, nil
	}
	return err == nil && string(got) == identity(id), err
}

// replayLog writes a log's entries into its segments. A log that is gone, or whose
// directory is another topic's now, and segments that were removed, need nothing.
func replayLog(fs fsys.FS, dir string, id [16]byte, entries []journalEntry) (written int, end place, err error) {
	if owns, err := ownsDir(fs, dir, id); err != nil || !owns {
		return 0, end, err
	}
	files := map[int64]fsys.File{}
	defer func() {
		for _, f := range files {
			if f != nil {
				_ = f.Close()
			}
		}
	}()
	for _, e := range entries {
		f, known := files[e.base]
		if !known {
			f, err = fs.Open(fileName(dir, e.base, logSuffix))
			if err != nil && !errors.Is(err, fsys.ErrNotExist) {
				return written, end, err
			}
			if err != nil {
				f = nil
			}
			files[e.base] = f
		}
		if f == nil {
			continue
		}
		if len(e.data) > 0 {
			if _, err := f.WriteAt(e.data, e.pos); err != nil {
				return written, end, err
			}
			written += len(e.data)
		}
		if to := (place{e.base, e.pos + int64(len(e.data))}); end.before(to) {
			end = to
		}
	}
	for _, f := range files {
		if f != nil {
			if err := f.Sync(); err != nil {
				return written, end, err
			}
		}
	}
	return written, end, nil
}
