package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
)

var testLimits = Limits{Unauthenticated: 64 << 10, Produce: 100 << 20, Other: 1 << 20}

func frameOf(size uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, size), body...)
}

// readWhole reads a frame with its rest.
func readWhole(r *bufio.Reader, authenticated bool) ([]byte, error) {
	frame, rest, err := ReadFrame(r, testLimits, authenticated, nil)
	if err != nil || rest == nil {
		return frame, err
	}
	req, err := ParseRequest(frame)
	if err != nil {
		return nil, err
	}
	req.Rest = rest
	err = req.Whole()
	return req.Frame, err
}

func TestReadFrame(t *testing.T) {
	produce := append([]byte{0, 0, 0, 9, 0, 0, 0, 1}, make([]byte, 2<<20)...)
	fetch := append([]byte{0, 1, 0, 9, 0, 0, 0, 1}, make([]byte, 2<<20)...)
	for _, c := range []struct {
		name          string
		in            []byte
		authenticated bool
		want          error
	}{
		{"a small request", frameOf(8, fetch[:8]), true, nil},
		{"a large produce", frameOf(uint32(len(produce)), produce), true, nil},
		{"a large produce before authentication", frameOf(uint32(len(produce)), produce), false, ErrFrameTooLarge},
		{"any other large request", frameOf(uint32(len(fetch)), fetch), true, ErrFrameTooLarge},
		{"a TLS hello", []byte{0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1}, true, ErrFrameTooLarge},
		{"an HTTP request", []byte("GET / HTTP/1.1\r\n\r\n"), true, ErrFrameTooLarge},
		{"a negative size", frameOf(1<<31+7, fetch[:8]), true, ErrMalformed},
		{"no room for a header", frameOf(7, fetch[:8]), true, ErrMalformed},
		{"nothing", nil, true, io.EOF},
		{"half a size", []byte{0, 0}, true, io.ErrUnexpectedEOF},
		{"half a frame", frameOf(100, fetch[:50]), true, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			frame, err := readWhole(bufio.NewReader(bytes.NewReader(c.in)), c.authenticated)
			if !errors.Is(err, c.want) || (c.want == nil && err != nil) {
				t.Fatalf("error is %v, want %v", err, c.want)
			}
			if c.want == nil && !bytes.Equal(frame, c.in[4:]) {
				t.Fatal("the frame has other bytes")
			}
		})
	}
}

// TestClaimsCostTheirSender: a frame that claims 100 MiB and sends nothing more
// makes us allocate next to nothing.
func TestClaimsCostTheirSender(t *testing.T) {
	in := frameOf(100<<20, make([]byte, 64))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readWhole(bufio.NewReader(bytes.NewReader(in)), true); err == nil {
		t.Fatal("read a frame that is not there")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("allocated %d bytes for %d", grown, len(in))
	}
}

func FuzzRequestHeader(f *testing.F) {
	f.Add([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0, 1, 'x', 0})
	f.Add([]byte{0, 3, 0, 12, 0, 0, 0, 1, 255, 255, 1, 0, 2, 9, 9})
	f.Fuzz(func(t *testing.T, frame []byte) {
		req, err := ParseRequest(frame)
		if err == nil && len(req.Body)+8 > len(frame) {
			t.Fatal("the body is longer than the frame leaves")
		}
	})
}

// asked remembers the largest read it was asked for, and knows only zeros, a few.
type asked struct{ left, most int }

func (a *asked) Read(b []byte) (int, error) {
	a.most = max(a.most, len(b))
	n := min(a.left, len(b))
	if a.left -= n; n == 0 {
		return 0, io.EOF
	}
	clear(b[:n])
	return n, nil
}

// TestClaimsTakeNobodysBuffers: nor do they get the large buffers of those who have sent
// much.
func TestClaimsTakeNobodysBuffers(t *testing.T) {
	PutBuffer(GetBuffer(32 << 20))
	src := &asked{left: 100 << 10}
	in := bufio.NewReader(io.MultiReader(bytes.NewReader(frameOf(32<<20, []byte{0, 0, 0, 9})), src))
	if _, err := readWhole(in, true); err == nil {
		t.Fatal("read a frame that is not there")
	}
	if src.most > 1<<20 {
		t.Errorf("who has sent 100 KiB was given %d", src.most)
	}
}

// FuzzFrames reads frames, and their headers, off a connection that sends anything.
// No frame is larger than its limit, none costs memory that was not sent for it.
func FuzzFrames(f *testing.F) {
	f.Add(frameOf(12, []byte{0, 18, 0, 3, 0, 0, 0, 1, 0, 1, 'x', 0}), true)
	f.Add(frameOf(100<<20, []byte{0, 0, 0, 9, 0, 0, 0, 1}), true)
	f.Add(frameOf(1<<31, []byte{0, 0, 0, 9, 0, 0, 0, 1}), false)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), true)
	f.Fuzz(func(t *testing.T, in []byte, authenticated bool) {
		alloc.Within(t, len(in), func() {
			r := bufio.NewReader(bytes.NewReader(in))
			for {
				frame, err := readWhole(r, authenticated)
				if err != nil {
					return
				}
				if len(frame) > len(in) || !authenticated && len(frame) > testLimits.Unauthenticated {
					t.Fatalf("a frame of %d bytes", len(frame))
				}
				if req, err := ParseRequest(frame); err == nil && len(req.Body)+8 > len(frame) {
					t.Fatal("the body is longer than the frame leaves")
				}
				PutBuffer(frame)
			}
		})
	})
}
