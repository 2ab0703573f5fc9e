package commitlog

import (
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// resync looks from pos on for the next whole batch with an offset of at least next:
// behind bytes that are none, its place is not known. A batch that lies inside
// another's record would be found as well, so it counts only if something that can be
// a batch follows it, or nothing.
func resync(f fsys.File, pos, size, next int64) (at int64, info record.Info, ok bool, err error) {
	var window []byte
	for from := pos; size-from >= record.HeaderSize; {
		if window, err = readInto(f, window, from, min(scanChunk, size-from)); err != nil || len(window) < record.HeaderSize {
			return 0, info, false, err
		}
		for i := range len(window) - record.HeaderSize + 1 {
			if !plausible(window[i:], size-from-int64(i), next) {
				continue
			}
			sc := scan{f: f, pos: from + int64(i), size: size}
			if _, info, ok, err = sc.next(); err != nil {
				return 0, info, false, err
			}
			if ok && followed(f, sc.pos, size, info.NextOffset()) {
				return from + int64(i), info, true, nil
			}
		}
		from += int64(len(window) - record.HeaderSize + 1)
	}
	return 0, info, false, nil
}

// plausible tells whether b, of which left bytes of the file are left, can begin with
// a batch that has an offset of at least next.
func plausible(b []byte, left, next int64) bool {
	const (
		magic     = 16
		known     = 0x7f    // attributes that have a meaning
		maxOffset = 1 << 40 // ahead of next; random bytes claim more
	)
	if b[magic] != 2 {
		return false
	}
	info, err := record.ParseHeader(b)
	return err == nil && int64(info.Size) <= left && info.Attributes&^known == 0 && info.Codec() <= record.Zstd &&
		info.BaseOffset >= next && info.BaseOffset-next < maxOffset && info.LeaderEpoch >= 0
}

// followed tells whether a batch may end at pos.
func followed(f fsys.File, pos, size, next int64) bool {
	if size-pos < record.HeaderSize {
		return true
	}
	var b [record.HeaderSize]byte
	if _, err := f.ReadAt(b[:], pos); err != nil {
		return false
	}
	return b == [record.HeaderSize]byte{} || plausible(b[:], size-pos, next)
}
