package wire

import (
	"encoding/binary"
	"net"
)

// FilePart is records that go out straight from their file.
type FilePart struct {
	File     interface{ Fd() uintptr }
	Pos, Len int64
	// Before is how many of the Vec's pieces come before it.
	Before int
}

// Vec is a response being built: bytes of its own, and slices of records that
// stay where they are and go out in the same writev, or from a file. The zero value is
// ready.
type Vec struct {
	bufs  net.Buffers // finished pieces
	files []FilePart
	cur   []byte   // the piece being appended to
	from  int      // where in cur the piece begins
	size  int      // bytes in bufs and files
	done  []func() // to be called by Reset
}

// Append lets f append to the current piece.
func (v *Vec) Append(f func(dst []byte) []byte) { v.cur = f(v.cur) }

// Attach adds b without copying it; b must not change until the Vec was written.
// Small slices are copied: a piece of its own costs more than the copy.
func (v *Vec) Attach(b []byte) {
	if len(b) < 1024 {
		v.cur = append(v.cur, b...)
		return
	}
	v.cut()
	v.bufs = append(v.bufs, b)
	v.size += len(b)
}

// AttachFile adds a part of a file, which must not change until the Vec was written.
func (v *Vec) AttachFile(p FilePart) {
	v.cut()
	p.Before = len(v.bufs)
	v.files = append(v.files, p)
	v.size += int(p.Len)
}

// Files are the parts of files, in their order.
func (v *Vec) Files() []FilePart { return v.files }

func (v *Vec) cut() {
	if len(v.cur) > v.from {
		v.bufs = append(v.bufs, v.cur[v.from:len(v.cur):len(v.cur)])
		v.size += len(v.cur) - v.from
		v.from = len(v.cur)
	}
}

// OnReset calls f when the Vec is done with what was attached.
func (v *Vec) OnReset(f func()) { v.done = append(v.done, f) }

// Len is the number of bytes so far.
func (v *Vec) Len() int { return v.size + len(v.cur) - v.from }

// Finish fills in the frame's size and returns the pieces, which belong to the Vec
// until its Reset. The Vec must begin with AppendResponseHeader.
func (v *Vec) Finish() net.Buffers {
	size := uint32(v.Len() - 4)
	v.cut()
	binary.BigEndian.PutUint32(v.bufs[0], size)
	return v.bufs
}

// Reset empties the Vec and keeps its buffer where that is not large.
func (v *Vec) Reset() {
	cur := v.cur[:0]
	if cap(cur) > 64<<10 {
		cur = nil
	}
	for _, f := range v.done {
		f()
	}
	clear(v.done)
	clear(v.bufs) // lets go of the records
	clear(v.files)
	*v = Vec{cur: cur, bufs: v.bufs[:0], files: v.files[:0], done: v.done[:0]}
}

// Bytes returns the response in one piece, without the parts of files, for tests.
func (v *Vec) Bytes() []byte {
	v.cut()
	var out []byte
	for _, b := range v.bufs {
		out = append(out, b...)
	}
	return out
}
