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

// place is a position in a segment.
type place struct {
	base, pos int64
}

// journalRecord is a whole record of a journal file.
type journalRecord struct {
	gen, seq uint64
	entries  []journalEntry
}

// parseJournal returns the records a journal file begins with: whole, of one
// generation, numbered without gaps.
func parseJournal(b []byte) []journalRecord {
	var out []journalRecord
	be := binary.BigEndian
	for len(b) >= journalHeader && be.Uint32(b) == journalMagic {
		n := int64(be.Uint32(b[24:]))
		if n > int64(len(b)-journalHeader) {
			break
		}
		end := journalHeader + int(n)
		if crc32.Checksum(b[8:end], castagnoli) != be.Uint32(b[4:]) {
			break
		}
		r := journalRecord{gen: be.Uint64(b[8:]), seq: be.Uint64(b[16:])}
		if k := len(out); k > 0 && (r.gen != out[0].gen || r.seq != out[k-1].seq+1) {
			break
		}
		var ok bool
		if r.entries, ok = parseEntries(b[journalHeader:end]); !ok {
			break
		}
		out = append(out, r)
		b = b[min(len(b), (end+journalAlign-1)/journalAlign*journalAlign):]
	}
	return out
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
		case entryData:
			if len(b) < 20 || int64(len(b)-20) < int64(be.Uint32(b[16:])) {
				return nil, false
			}
			e.base, e.pos = int64(be.Uint64(b)), int64(be.Uint64(b[8:]))
			size := be.Uint32(b[16:])
			e.data, b = b[20:20+size], b[20+size:]
			if e.pos < 0 || e.base < 0 {
				return nil, false
			}
		default:
			return nil, false
		}
		out = append(out, e)
	}
	return out, true
}

// replayJournal writes what the journal holds into the segments and makes it durable
// there. It runs before any log is opened, and can be cut short and run again.
// ends says, by directory, how far each log must reach now.
func replayJournal(fs fsys.FS, dir string, log *slog.Logger) (gen, seq uint64, ends map[string]place, err error) {
	var records []journalRecord
	for i := range journalNames {
		b, err := readFile(fs, journalFile(dir, i))
		if errors.Is(err, fsys.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, nil, err
		}
		records = append(records, parseJournal(b)...)
	}
	slices.SortFunc(records, func(a, b journalRecord) int { return cmp.Compare(a.seq, b.seq) })
	type logKey struct {
		dir string
		id  [16]byte
	}
	live := map[logKey][]journalEntry{}
	for _, r := range records {
		gen, seq = max(gen, r.gen), max(seq, r.seq)
		for _, e := range r.entries {
			key := logKey{e.dir, e.id}
			switch e.kind {
			case entryReset:
				clear(live)
			case entryVoid:
				delete(live, key)
			case entryData:
				live[key] = append(live[key], e)
			}
		}
	}
	written := 0
	ends = map[string]place{}
	for _, key := range slices.SortedFunc(maps.Keys(live), func(a, b logKey) int { return cmp.Compare(a.dir, b.dir) }) {
		path := key.dir
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		n, end, err := replayLog(fs, path, key.id, live[key])
		if err != nil {
			return 0, 0, nil, fmt.Errorf("journal: %s: %w", path, err)
		}
		if n > 0 {
			ends[path] = end
		}
		written += n
	}
	if written > 0 {
		log.Info("wrote the commit journal into the logs", "logs", len(live), "bytes", written)
	}
	return gen, seq, ends, nil
}

// replayLog writes a log's entries into its segments. A log that is gone, or whose
// directory is another topic's now, and segments that were removed, need nothing.
func replayLog(fs fsys.FS, dir string, id [16]byte, entries []journalEntry) (written int, end place, err error) {
	got, err := readFile(fs, filepath.Join(dir, identityFile))
	if errors.Is(err, fsys.ErrNotExist) || (err == nil && string(got) != identity(id)) {
		return 0, end, nil
	}
	if err != nil {
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
		if _, err := f.WriteAt(e.data, e.pos); err != nil {
			return written, end, err
		}
		written += len(e.data)
		end = place{e.base, e.pos + int64(len(e.data))}
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
