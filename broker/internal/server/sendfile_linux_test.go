package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// files answers each request with "a", a part of a file, "b", another, and "c".
type files struct {
	file  *os.File
	parts [2]wire.FilePart
}

func (f *files) Handle(_ context.Context, s *api.Session, req *wire.Request) (api.Reply, error) {
	if !s.Sendfile {
		return nil, errors.New("the connection cannot send files")
	}
	return func(_ context.Context, v *wire.Vec) error {
		v.Append(func(dst []byte) []byte { return append(wire.AppendResponseHeader(dst, req), 'a') })
		for i, p := range f.parts {
			v.AttachFile(p)
			v.Append(func(dst []byte) []byte { return append(dst, "bc"[i]) })
		}
		return nil
	}, nil
}

func (*files) HandleRaw(context.Context, *api.Session, []byte) ([]byte, error) {
	return nil, errors.New("not expected")
}

// TestSendFile: parts of a file go out between the bytes around them, whole, also to
// many clients at a time. A connection whose file ends too early is closed.
func TestSendFile(t *testing.T) {
	const size = 4 << 20
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i >> 8 * i)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	h := &files{file, [2]wire.FilePart{{File: file, Pos: 100, Len: 3 << 20}, {File: file, Pos: 1, Len: 70_000}}}
	w := serve(t, h, "User:a", nil)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.srv.Serve(Listener{Listener: l, Name: "TCP", Principal: "User:a"}) }() // ends with the server
	dial := func() net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		write(t, c, request(3))
		return c
	}
	want := append(append([]byte{'a'}, content[100:100+3<<20]...), 'b')
	want = append(append(want, content[1:70_001]...), 'c')
	clients := make(chan error)
	for range 4 {
		c := dial()
		go func() {
			answer := make([]byte, 8+len(want))
			_, err := io.ReadFull(c, answer)
			if err == nil && (int(binary.BigEndian.Uint32(answer)) != len(answer)-4 || !bytes.Equal(answer[8:], want)) {
				err = errors.New("the answer is not what was sent")
			}
			clients <- err
		}()
	}
	for range 4 {
		if err := <-clients; err != nil {
			t.Error(err)
		}
	}
	h.parts[1].Pos = size - 10
	if n, err := io.Copy(io.Discard, dial()); err != nil || n >= int64(8+len(want)) {
		t.Errorf("of a file that is too short %d bytes came: %v", n, err)
	}
}
