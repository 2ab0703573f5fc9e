package commitlog

import "hash/maphash"

// offsetMap maps keys to the last offset they were seen at. It keeps 128 bits of
// hash in place of a key, in one flat table: two keys that share them would lose a
// record, which happens once in about 10^26 compactions of a full table.
type offsetMap struct {
	seeds [2]maphash.Seed
	slots []mapSlot
	used  int
	limit int // slots that may be used at most
}

type mapSlot struct {
	hash   [2]uint64
	offset int64 // 0 is free: offsets are stored plus one
}

// newOffsetMap returns a map that takes about bytes at most.
func newOffsetMap(bytes int64) *offsetMap {
	const slotSize = 24
	m := &offsetMap{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, slots: make([]mapSlot, 1<<10)}
	m.limit = int(max(bytes/slotSize, 1<<9))
	return m
}

func (m *offsetMap) hash(key []byte) [2]uint64 {
	return [2]uint64{maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)}
}

// find returns the slot that has h or is free for it.
func (m *offsetMap) find(h [2]uint64) *mapSlot {
	for i := h[0] & uint64(len(m.slots)-1); ; i = (i + 1) & uint64(len(m.slots)-1) {
		if s := &m.slots[i]; s.offset == 0 || s.hash == h {
			return s
		}
	}
}

// put notes that key is at offset. It returns false when the map is full.
func (m *offsetMap) put(key []byte, offset int64) bool {
	h := m.hash(key)
	s := m.find(h)
	if s.offset == 0 {
		if m.used*4 >= len(m.slots)*3 {
			if m.used >= m.limit {
				return false
			}
			m.grow()
			s = m.find(h)
		}
		m.used++
	}
	s.hash, s.offset = h, offset+1
	return true
}

func (m *offsetMap) grow() {
	old := m.slots
	m.slots = make([]mapSlot, 2*len(old))
	for i := range old {
		if old[i].offset != 0 {
			*m.find(old[i].hash) = old[i]
		}
	}
}

// get returns the last offset of key, or -1.
func (m *offsetMap) get(key []byte) int64 {
	return m.find(m.hash(key)).offset - 1
}
