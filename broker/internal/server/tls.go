package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/wire"
)

var (
	errNobody = errors.New("the client's certificate is nobody's")
	errLate   = errors.New("the client has not finished the handshake within quokka.login.timeout.ms")
)

// encrypted says whether the connection has TLS.
func (c *conn) encrypted() bool {
	_, ok := c.nc.(*tls.Conn)
	return ok
}

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
		c.ln.notLogin.Add(1)
		why := err
		if errors.Is(err, context.DeadlineExceeded) {
			why = errLate
		}
		c.srv.cfg.Logger.Info("connection closed: TLS handshake failed", "client", c.session.Remote, "listener", c.ln.Name, "err", why)
		return err
	}
	chains := tc.ConnectionState().VerifiedChains
	if len(chains) == 0 || c.ln.Certificate == nil {
		return nil
	}
	subject := chains[0][0].Subject.String()
	principal, ok := c.ln.Certificate(subject)
	if !ok {
		c.ln.notLogin.Add(1)
		c.srv.cfg.Logger.Info("connection closed: no rule of ssl.principal.mapping.rules matches the client's certificate", "client", c.session.Remote, "listener", c.ln.Name, "subject", subject)
		return errNobody
	}
	c.session.Principal = principal
	c.ln.loggedIn.Add(1)
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
	c.countLogin()
	if err != nil {
		c.ln.notLogin.Add(1)
		return err // an old client takes the end of the connection for a refusal
	}
	return c.send(net.Buffers{wire.AppendRaw(nil, answer)})
}
