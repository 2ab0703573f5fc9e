package server

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/limit"
)

// looks is how often within Config.WriteTimeout it is looked whether the client has
// taken anything.
const looks = 8

// send writes the pieces of an answer, in as few calls as possible. A client that
// takes no byte for Config.WriteTimeout is gone; one that takes some is slow.
func (c *conn) send(bufs net.Buffers) error {
	if tc, ok := c.nc.(*tls.Conn); ok {
		return c.sendTLS(tc, bufs)
	}
	timeout := c.srv.cfg.WriteTimeout
	progress := time.Now()
	for len(bufs) > 0 {
		if err := c.nc.SetWriteDeadline(time.Now().Add(timeout / looks)); err != nil {
			return err
		}
		n, err := bufs.WriteTo(c.nc) // leaves in bufs what was not written
		if n > 0 {
			progress = time.Now()
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if time.Since(progress) >= timeout {
			c.srv.cfg.Hits.Hit(limit.Write)
			return err
		}
	}
	return nil
}

// tlsRecord is the most that TLS sends in one record.
const tlsRecord = 16 << 10

// sendTLS is send for TLS, which cannot go on after a write that ran into its
// deadline: so each record has a deadline of its own.
func (c *conn) sendTLS(tc *tls.Conn, bufs net.Buffers) error {
	for _, b := range bufs {
		for len(b) > 0 {
			n := min(len(b), tlsRecord)
			if err := tc.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout)); err != nil {
				return err
			}
			if _, err := tc.Write(b[:n]); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					c.srv.cfg.Hits.Hit(limit.Write)
				}
				return err
			}
			b = b[n:]
		}
	}
	return nil
}
