package server

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// tooFast holds a connection that came sooner after others than its address may, and
// says so. It is held, unread, before it is closed: a client that is refused at once
// comes back at once (KIP-612).
func (c *conn) tooFast() bool {
	if c.srv.cfg.ConnectQuota == nil {
		return false
	}
	wait := c.srv.cfg.ConnectQuota(addrOf(c.nc))
	if wait > 0 {
		c.hold(wait)
	}
	return wait > 0
}

// hold waits before more of the connection is read, unless the server closes.
func (c *conn) hold(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	case <-c.srv.soft.Done():
	}
}

// ended counts which limit, if any, ended the connection's reading. A login that took
// too long is told as well: all that its client says is that the connection has gone.
func (c *conn) ended(err error) {
	var frame *wire.FrameError
	authenticated := c.session.Authenticated()
	switch {
	case errors.Is(err, wire.ErrTags):
		c.srv.cfg.Hits.Hit(limit.Tags)
	case errors.Is(err, wire.ErrProduceParts):
		c.srv.cfg.Hits.Hit(limit.ProduceParts)
	case errors.As(err, &frame) && !authenticated:
		c.srv.cfg.Hits.Hit(limit.LoginFrame)
	case errors.As(err, &frame) && frame.Key == wire.KeyProduce:
		c.srv.cfg.Hits.Hit(limit.ProduceFrame)
	case errors.As(err, &frame):
		c.srv.cfg.Hits.Hit(limit.RequestFrame)
	case !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) || c.draining.Load():
	case !authenticated:
		c.srv.cfg.Hits.Hit(limit.Login)
		if tc, ok := c.nc.(*tls.Conn); !ok || tc.ConnectionState().HandshakeComplete { // else it was told
			c.srv.cfg.Logger.Info("connection closed: the client has not authenticated within quokka.login.timeout.ms", "client", c.session.Remote, "listener", c.ln.Name)
		}
	default:
		c.srv.cfg.Hits.Hit(limit.Idle)
	}
}
