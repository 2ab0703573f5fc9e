package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers of Produce frames and of fetched records are used again: they are most
// of what a busy broker would allocate. Whoever returns one must know that nobody
// holds it any more; in doubt it is left to the garbage collector.

// Classes of buffers are the powers of two from 4 KiB to 32 MiB: a busy client with
// many partitions puts a batch for each into one request.
const (
	minClass = 12
	maxClass = 25
)

var pools [maxClass - minClass + 1]sync.Pool

// poison is set in tests: returned buffers are overwritten, so that a use after
// the return shows.
var poison atomic.Bool

// PoisonBuffers makes every returned buffer unreadable, for tests.
func PoisonBuffers(on bool) { poison.Store(on) }

func class(n int) int {
	if n <= 1<<minClass {
		return 0
	}
	return bits.Len(uint(n-1)) - minClass
}

// room is the capacity of a buffer of n bytes.
func room(n int) int {
	if c := class(n); c < len(pools) {
		return 1 << (c + minClass)
	}
	return n
}

// GetBuffer returns a buffer of n bytes, whose contents are undefined.
func GetBuffer(n int) []byte {
	if b := tryGetBuffer(n); b != nil {
		return b
	}
	return make([]byte, n, room(n))
}

// tryGetBuffer returns a buffer that was returned before, or nil.
func tryGetBuffer(n int) []byte {
	c := class(n)
	if c >= len(pools) {
		return nil
	}
	b, ok := pools[c].Get().(*[]byte)
	if !ok {
		return nil
	}
	return (*b)[:n]
}

// PutBuffer returns a buffer that GetBuffer, ReadFrame or Request.Whole gave out; a
// ProduceReader's go to Rest.GiveBack. One whose capacity is that of no class is ignored.
func PutBuffer(b []byte) {
	c := class(cap(b))
	if c >= len(pools) || cap(b) != 1<<(c+minClass) {
		return
	}
	b = b[:cap(b)]
	if poison.Load() {
		for i := range b {
			b[i] = 0xdb
		}
	}
	pools[c].Put(&b)
}

// Arena holds what one answer reads from partitions, in few buffers, and the parts of
// files that it sends.
type Arena struct {
	chunks [][]byte
	used   int // of the last chunk
	held   []interface{ Release() }
}

const (
	chunkSize = 1 << 20
	chunkLow  = 256 << 10 // a chunk with less left is full
)

// Room returns free space, at least chunkLow bytes of it.
func (a *Arena) Room() []byte {
	n := len(a.chunks)
	if n == 0 || chunkSize-a.used < chunkLow {
		a.chunks = append(a.chunks, GetBuffer(chunkSize))
		a.used = 0
		n++
	}
	return a.chunks[n-1][a.used:]
}

// Keep keeps what was read into the space that Room returned; b that was put
// elsewhere needs no keeping.
func (a *Arena) Keep(b []byte) {
	if n := len(a.chunks); n > 0 && len(b) > 0 && a.used < chunkSize && &b[0] == &a.chunks[n-1][a.used] {
		a.used += len(b)
	}
}

// Hold keeps r until Reset or Free release it.
func (a *Arena) Hold(r interface{ Release() }) { a.held = append(a.held, r) }

func (a *Arena) release() {
	for _, r := range a.held {
		r.Release()
	}
	clear(a.held)
	a.held = a.held[:0]
}

// Reset forgets what was kept, and keeps the first chunk for what comes.
func (a *Arena) Reset() {
	a.release()
	for i := 1; i < len(a.chunks); i++ {
		PutBuffer(a.chunks[i])
	}
	a.chunks, a.used = a.chunks[:min(len(a.chunks), 1)], 0
}

// Free returns all chunks.
func (a *Arena) Free() {
	a.release()
	for _, c := range a.chunks {
		PutBuffer(c)
	}
	a.chunks, a.used = nil, 0
}
