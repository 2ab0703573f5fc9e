package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// handshake does the TLS handshake, where the connection has one, and takes the
// client's name from its certificate, where that was asked for and verified.
func (c *conn) handshake(deadline time.Time) error {
	tc, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithDeadline(c.ctx, deadline)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		c.srv.cfg.Logger.Info("connection closed: TLS handshake failed", "client", c.session.Remote, "err", err)
		return err
	}
	if chains := tc.ConnectionState().VerifiedChains; len(chains) > 0 {
		c.session.Principal = "User:" + chains[0][0].Subject.String()
	}
	return nil
}

// rawLogin takes one bare authentication message (SaslHandshake version 0) and
// answers it as bare.
func (c *conn) rawLogin(br *bufio.Reader) error {
	message, err := wire.ReadRaw(br, c.srv.cfg.Limits.Unauthenticated)
	if err != nil {
		return err
	}
	answer, err := c.srv.cfg.Handler.HandleRaw(c.srv.soft, &c.session, message)
	if err != nil {
		return err // an old client takes the end of the connection for a refusal
	}
	return c.send(net.Buffers{wire.AppendRaw(nil, answer)})
}
