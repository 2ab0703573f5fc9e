package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// Authenticated says whether the client may ask for anything: it has proven who it
// is, or need not.
func (s *Session) Authenticated() bool { return s.Principal != "" }

// RawSASL says whether the client's next frame is a bare authentication message:
// so it is after a handshake of version 0.
func (s *Session) RawSASL() bool { return s.rawSASL }

// mayAsk says whether a request key may be asked for before authentication.
func mayAsk(key int16) bool {
	return key == wire.KeyAPIVersions || key == wire.KeySaslHandshake || key == wire.KeySaslAuthenticate
}

func (h *Handler) saslHandshake(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.SASLHandshakeRequest)
	resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
	resp.SupportedMechanisms = h.cfg.Mechanisms(c.Listener)
	login, ok := h.login(req.Mechanism, resp.SupportedMechanisms)
	switch {
	case len(resp.SupportedMechanisms) == 0:
		resp.ErrorCode = errcode.IllegalSaslState
	case !ok:
		resp.ErrorCode = errcode.UnsupportedSaslMechanism
	default:
		c.login, c.mechanism, c.rawSASL = login, req.Mechanism, req.Version == 0
	}
	return resp, nil
}

func (h *Handler) login(mechanism string, offered []string) (auth.Login, bool) {
	if !slices.Contains(offered, mechanism) {
		return nil, false
	}
	return auth.NewLogin(mechanism, h.cluster.Image)
}

func (h *Handler) saslAuthenticate(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.SASLAuthenticateRequest)
	resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	resp.SASLAuthBytes = []byte{}
	if c.login == nil {
		resp.ErrorCode, resp.ErrorMessage = errcode.IllegalSaslState, kmsg.StringPtr("SaslAuthenticate request received without a SaslHandshake before it.")
		return resp, nil
	}
	answer, err := h.authenticate(ctx, c.Session, req.SASLAuthBytes)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = errcode.SaslAuthenticationFailed, kmsg.StringPtr(err.Error())
		c.ending = true
		return resp, nil
	}
	resp.SASLAuthBytes = answer
	return resp, nil
}

// authenticate takes one message of an authentication.
func (h *Handler) authenticate(ctx context.Context, s *Session, message []byte) ([]byte, error) {
	answer, user, done, err := s.login.Step(message)
	principal := "User:" + user
	if err == nil && done && s.Principal != "" && s.Principal != principal {
		err = fmt.Errorf("%w: a connection cannot change its principal", auth.ErrFailed)
	}
	if err != nil {
		h.log.Warn("authentication failed", "client", s.Remote, "listener", s.Listener, "mechanism", s.mechanism)
		s.login = nil
		h.cfg.Hits.Hit(limit.FailedLogin)
		select { // guessing takes its time
		case <-time.After(time.Duration(h.cluster.Image().BrokerInt("connection.failed.authentication.delay.ms")) * time.Millisecond):
		case <-ctx.Done():
		}
		return nil, err
	}
	if done {
		s.Principal, s.login = principal, nil
	}
	return answer, nil
}

// HandleRaw takes a bare authentication message and returns the bare answer.
func (h *Handler) HandleRaw(ctx context.Context, s *Session, message []byte) ([]byte, error) {
	if s.login == nil {
		return nil, auth.ErrFailed
	}
	answer, err := h.authenticate(ctx, s, message)
	if s.login == nil {
		s.rawSASL = false
	}
	return answer, err
}

// Ending says whether the connection is to be closed after the current answer.
func (s *Session) Ending() bool { return s.ending }
