package server

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/limit"
)

// looks is how often within Config.WriteTimeout it is looked whether the client has
// taken anything.
const looks = 8

// send writes the pieces of an answer, in as few calls as possible.
func (c *conn) send(bufs net.Buffers) error {
	if c.encrypted() {
		_, err := bufs.WriteTo(c.nc) // what is beneath waits for progress
		return err
	}
	return c.srv.patient(c.nc, &bufs)
}

// patient writes until all is written. A client that takes no byte for
// Config.WriteTimeout is gone; one that takes some is slow.
func (s *Server) patient(nc net.Conn, bufs *net.Buffers) error {
	progress := time.Now()
	for len(*bufs) > 0 {
		if err := nc.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout / looks)); err != nil {
			return err
		}
		n, err := bufs.WriteTo(nc) // leaves in bufs what was not written
		if n > 0 {
			progress = time.Now()
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if time.Since(progress) >= s.cfg.WriteTimeout {
			s.cfg.Hits.Hit(limit.Write)
			return err
		}
	}
	return nil
}

// beneath is the connection beneath TLS, which cannot go on after a write that ran
// into its deadline: so what it writes is written patiently here.
type beneath struct {
	net.Conn
	srv   *Server
	bound atomic.Bool // TLS itself has set a deadline: for its farewell, when it closes
}

func (b *beneath) Write(p []byte) (int, error) {
	if b.bound.Load() {
		return b.Conn.Write(p)
	}
	bufs := net.Buffers{p}
	err := b.srv.patient(b.Conn, &bufs)
	left := 0
	for _, rest := range bufs {
		left += len(rest)
	}
	return len(p) - left, err
}

func (b *beneath) SetWriteDeadline(t time.Time) error {
	b.bound.Store(true)
	return b.Conn.SetWriteDeadline(t)
}
