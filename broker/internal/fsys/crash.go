package fsys

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns a file system as a power cut at this moment could leave it, by
// seed: of every directory, each change since its last SyncDir has happened or
// not; of every file, each sector written since its last Sync has its old or its
// new bytes; a file that changed its size has the old one, the new one or one in
// between, and sectors it grew by show zeros or what the disk held before.
// The receiver is not changed.
func (m *Mem) Crash(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := crash{rng: rand.New(rand.NewPCG(seed, 0)), done: map[*inode]*inode{}}
	// Cuts differ in temper: some lose nearly everything, some nearly nothing.
	c.keep = []float64{0, 0.1, 0.5, 0.9, 1}[c.rng.IntN(5)]
	out := NewMem()
	out.root = c.dir(m.root)
	out.used = out.root.bytes()
	out.capacity = m.capacity
	return out
}

// Kill returns a file system as a kill of the process at this moment leaves it:
// everything written is there, synced or not.
func (m *Mem) Kill() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := NewMem()
	out.root = kill(m.root, map[*inode]*inode{})
	out.used, out.capacity = m.used, m.capacity
	return out
}

// kill copies an inode with what it has and has not synced.
func kill(n *inode, done map[*inode]*inode) *inode {
	if got := done[n]; got != nil {
		return got
	}
	c := &inode{dir: n.dir, data: slices.Clone(n.data), durable: slices.Clone(n.durable), dirty: maps.Clone(n.dirty), reserved: n.reserved}
	done[n] = c
	if !n.dir {
		return c
	}
	c.names, c.durableNames = map[string]*inode{}, map[string]*inode{}
	for name, child := range n.names {
		c.names[name] = kill(child, done)
	}
	for name, child := range n.durableNames {
		c.durableNames[name] = kill(child, done)
	}
	for _, ch := range n.changes {
		if ch.node != nil {
			ch.node = kill(ch.node, done)
		}
		c.changes = append(c.changes, ch)
	}
	return c
}

type crash struct {
	rng  *rand.Rand
	keep float64
	done map[*inode]*inode
}

func (c *crash) node(n *inode) *inode {
	if n.dir {
		return c.dir(n)
	}
	return c.file(n)
}

func (c *crash) dir(d *inode) *inode {
	if got := c.done[d]; got != nil {
		return got
	}
	names := maps.Clone(d.durableNames)
	for _, ch := range d.changes {
		if c.rng.Float64() >= c.keep {
			continue
		}
		if ch.remove != "" {
			delete(names, ch.remove)
		}
		if ch.set != "" {
			names[ch.set] = ch.node
		}
	}
	out := newDir()
	c.done[d] = out
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out.names[name] = c.node(names[name])
	}
	out.durableNames = maps.Clone(out.names)
	return out
}

func (c *crash) file(n *inode) *inode {
	if got := c.done[n]; got != nil {
		return got
	}
	size := int64(len(n.durable))
	if now := int64(len(n.data)); now != size && c.rng.Float64() < max(c.keep, 0.2) {
		size = now
		if c.rng.IntN(3) == 0 {
			lo, hi := min(now, int64(len(n.durable))), max(now, int64(len(n.durable)))
			size = lo + c.rng.Int64N(hi-lo+1)
		}
	}
	data := make([]byte, size)
	copy(data, n.durable)
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		from := s * sector
		if from >= size {
			break
		}
		to := min(from+sector, size)
		switch {
		case c.rng.Float64() < c.keep:
			if from < int64(len(n.data)) {
				copy(data[from:to], n.data[from:])
			}
		case from >= int64(len(n.durable)) && c.rng.IntN(2) == 0:
			for i := from; i < to; i++ {
				data[i] = byte(c.rng.Uint32())
			}
		}
	}
	out := &inode{data: data, durable: slices.Clone(data), dirty: map[int64]struct{}{}}
	c.done[n] = out
	return out
}
