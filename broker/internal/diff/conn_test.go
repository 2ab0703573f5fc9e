package diff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is a connection that sends exactly what it is told to.
type conn struct {
	nc   net.Conn
	next int32
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	var d net.Dialer
	nc, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &conn{nc: nc}
}

// errClosed says that the server closed the connection instead of answering.
var errClosed = errors.New("closed")

func (c *conn) send(req kmsg.Request) (int32, error) {
	c.next++
	return c.next, c.write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("diff")).AppendRequest(nil, req, c.next))
}

func (c *conn) write(frame []byte) error {
	if err := c.nc.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return err
	}
	if _, err := c.nc.Write(frame); err != nil {
		return fmt.Errorf("%w: %w", errClosed, err)
	}
	return nil
}

func (c *conn) receive(req kmsg.Request, id int32) (kmsg.Response, error) {
	frame, err := c.frame()
	if err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != id {
		return nil, fmt.Errorf("the answer is to request %d, not to %d", got, id)
	}
	body := frame[4:]
	if req.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("the answer to %s v%d does not parse: %w", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp, nil
}

func (c *conn) frame() ([]byte, error) {
	var size [4]byte
	_, err := io.ReadFull(c.nc, size[:])
	if err == nil {
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err = io.ReadFull(c.nc, b); err == nil {
			return b, nil
		}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil, fmt.Errorf("no answer within five minutes: %w", err)
	}
	return nil, fmt.Errorf("%w: %w", errClosed, err)
}
