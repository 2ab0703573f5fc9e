package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// Bounds of the answers that wait in one connection.
const (
	maxQueued      = 16
	maxQueuedBytes = 32 << 20 // of requests whose records are on their way to the disk
)

// conn is one connection.
type conn struct {
	srv     *Server
	ln      *listening
	nc      net.Conn
	raw     net.Conn // beneath TLS, else nc
	session api.Session
	ctx     context.Context // ends when the connection cannot go on
	cancel  context.CancelFunc

	queue    chan queued   // to the writer; nil until the first answer that waits
	stopped  chan struct{} // closed when the writer has ended
	waiting  atomic.Int64  // answers in queue or in the writer's hands
	bytes    atomic.Int64  // of their requests
	progress chan struct{} // a token when the writer has finished an answer
	until    time.Time     // when a request that is midway has to be whole; set before draining
	draining atomic.Bool
	midway   atomic.Bool // a request is done while its frame comes in
	claim    *wire.Claim // what the request being read takes; nil: the next makes one

	vec wire.Vec // the reader's; the writer has one of its own
}

// queued is an answer that waits.
type queued struct {
	req   wire.Request
	size  int
	began time.Time
	reply api.Reply
	claim *wire.Claim
}

func newConn(s *Server, l *listening, nc net.Conn) *conn {
	c := &conn{srv: s, ln: l, nc: nc, raw: nc, progress: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(s.hard)
	c.session = api.Session{ID: s.ids.Add(1), Listener: l.Name, Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), Principal: l.Principal}
	if l.TLS != nil {
		c.nc = tls.Server(&beneath{Conn: nc, srv: s}, l.TLS)
	}
	_, plain := c.nc.(*net.TCPConn)
	c.session.Sendfile = canSendFile && plain
	return c
}

// lastParts is how long after the server began to close a request has to be whole whose
// beginning has been done: what was done of it, its client would send again.
const lastParts = time.Second

// drain makes the connection end when the requests that were read are answered. What is
// not whole then is not waited for, but for lastParts a request that is midway: else who
// sends slowly would hold up all. Its client sends it again, as it does when Kafka closes.
func (c *conn) drain() {
	deadline := time.Now()
	c.until = deadline.Add(lastParts)
	c.draining.Store(true)
	if c.midway.Load() {
		deadline = c.until
	}
	_ = c.nc.SetReadDeadline(deadline) // wakes the reader; a connection that is gone has ended already
}

func (c *conn) run() {
	err := c.read()
	c.claim.Release()
	c.ended(err)
	if c.queue != nil {
		close(c.queue) // what is queued is still answered
		<-c.stopped
	}
	c.cancel()
	_ = c.nc.Close() // nothing more to say
	if err != nil && !errors.Is(err, io.EOF) && !c.draining.Load() && c.srv.hard.Err() == nil {
		c.srv.cfg.Logger.Debug("connection ended", "client", c.session.Remote, "conn", c.session.ID, "err", err)
	}
}

// read is the reader: it returns when the connection cannot, or shall not, go on.
func (c *conn) read() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = c.panicked(r)
		}
	}()
	if c.tooFast() {
		return nil
	}
	login := time.Now().Add(c.srv.cfg.LoginTimeout)
	if err := c.handshake(login); err != nil {
		return err
	}
	br := bufio.NewReaderSize(c.nc, 16<<10)
	for !c.draining.Load() && !c.session.Ending() {
		deadline := time.Now().Add(c.srv.cfg.IdleTimeout)
		if !c.session.Authenticated() {
			deadline = login
		}
		if err := c.nc.SetReadDeadline(deadline); err != nil {
			return err
		}
		if c.draining.Load() { // its deadline may have been overwritten just now
			return nil
		}
		if c.session.RawSASL() {
			if err := c.rawLogin(br); err != nil {
				return err
			}
			continue
		}
		if c.claim == nil && c.srv.cfg.Frames != nil {
			c.claim = c.srv.cfg.Frames.Claim(c.srv.soft, c.awaitPart)
		}
		frame, rest, err := wire.ReadFrame(br, c.srv.cfg.Limits, c.session.Authenticated(), c.claim)
		if err != nil {
			if errors.Is(err, wire.ErrFrameTooLarge) || errors.Is(err, wire.ErrMalformed) {
				c.srv.cfg.Logger.Info("connection closed: what it sent is no Kafka request", "client", c.session.Remote, "err", err)
			}
			return err
		}
		known := c.session.Authenticated()
		if err := c.request(frame, rest); err != nil {
			return err
		}
		if !known {
			c.countLogin()
		}
		if d := c.session.Mute(); d > 0 {
			c.hold(d)
		}
	}
	return nil
}

// awaitPart sets until when more of a frame has to come whose beginning is being done, or
// which others wait for. What was done meanwhile is not the client's time.
func (c *conn) awaitPart() error {
	patience := c.srv.cfg.IdleTimeout
	if c.claim.IsBeyond() {
		patience = min(patience, c.srv.cfg.WriteTimeout)
	}
	err := c.nc.SetReadDeadline(time.Now().Add(patience))
	if c.draining.Load() { // its deadline may have been overwritten just now
		err = c.nc.SetReadDeadline(c.until)
	}
	return err
}

// countLogin counts how the authentication under way has ended, if it has.
func (c *conn) countLogin() {
	switch {
	case c.session.Ending():
		c.ln.notLogin.Add(1)
	case c.session.Authenticated():
		c.ln.loggedIn.Add(1)
	}
}

// request handles one request, whose frame may have a rest. It returns when the next
// may be read.
func (c *conn) request(frame []byte, rest *wire.Rest) error {
	began := time.Now()
	req, err := wire.ParseRequest(frame)
	if err != nil {
		return err
	}
	size := len(frame)
	if rest != nil {
		c.midway.Store(true)
		defer c.midway.Store(false)
		rest.Before = c.awaitPart
		req.Rest, size = rest, size+rest.Len()
	}
	reply, err := c.srv.cfg.Handler.Handle(c.srv.soft, &c.session, &req)
	if rest != nil && rest.Err() != nil {
		return rest.Err()
	}
	if err == nil && rest != nil {
		err = rest.Discard() // where the handler had no use for it
		began = rest.Came()  // how long the client took to send it says nothing of us
	}
	if errors.Is(err, api.ErrNoReply) {
		c.claim.Release()
		return nil
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			c.srv.cfg.Logger.Info("connection closed: a request could not be answered",
				"client", c.session.Remote, "client_id", req.ClientID, "key", req.Key, "version", req.Version, "err", err)
		}
		return err
	}
	q := queued{req: req, size: size, began: began, reply: reply}
	if c.claim.Held() {
		q.claim, c.claim = c.claim, nil
	}
	if req.Key == wire.KeyProduce && (c.session.Waits || c.waiting.Load() > 0) {
		return c.enqueue(q)
	}
	defer q.claim.Release()
	// Answers go out in order: this one waits for those that wait.
	for c.waiting.Load() > 0 {
		if err := c.wait(); err != nil {
			return err
		}
	}
	return c.answer(q, &c.vec)
}

// enqueue gives an answer to the writer, and waits while too many are with it.
func (c *conn) enqueue(q queued) error {
	if c.queue == nil {
		c.queue, c.stopped = make(chan queued, maxQueued), make(chan struct{})
		go c.write()
	}
	c.waiting.Add(1)
	c.bytes.Add(int64(q.size))
	c.queue <- q // never blocks: fewer than maxQueued are waiting
	if c.full() {
		c.srv.cfg.Hits.Hit(limit.Queued)
	}
	for c.full() {
		if err := c.wait(); err != nil {
			return err
		}
	}
	return nil
}

// full says whether too much is with the writer for another request to start.
func (c *conn) full() bool {
	return c.waiting.Load() >= maxQueued || c.bytes.Load() > maxQueuedBytes
}

// wait waits until the writer has finished an answer.
func (c *conn) wait() error {
	select {
	case <-c.progress:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// write is the writer: it answers what is queued, in order. After a failure it
// lets the rest go unanswered.
func (c *conn) write() {
	defer close(c.stopped)
	var vec wire.Vec
	var failed error
	for q := range c.queue {
		if failed == nil {
			if failed = c.answerSafely(q, &vec); failed != nil {
				c.cancel()
				_ = c.nc.Close() // wakes the reader
			}
		}
		q.claim.Release()
		c.waiting.Add(-1)
		c.bytes.Add(-int64(q.size))
		select {
		case c.progress <- struct{}{}:
		default:
		}
	}
}

func (c *conn) answerSafely(q queued, vec *wire.Vec) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = c.panicked(r)
		}
	}()
	return c.answer(q, vec)
}

// answer finishes a reply and sends it.
func (c *conn) answer(q queued, vec *wire.Vec) error {
	defer vec.Reset()
	if err := q.reply(c.ctx, vec); err != nil {
		return err
	}
	q.claim.Release() // however long the client takes
	size := vec.Len()
	bufs, sent := vec.Finish(), 0
	for _, part := range vec.Files() {
		if err := c.send(bufs[sent:part.Before]); err != nil {
			return err
		}
		if err := c.sendFile(part); err != nil {
			return err
		}
		sent = part.Before
	}
	if err := c.send(bufs[sent:]); err != nil {
		return err
	}
	if c.srv.cfg.Observe != nil {
		c.srv.cfg.Observe(q.req.Key, time.Since(q.began), q.size+4, size)
	}
	return nil
}

// panicked turns a panic in a request into the end of its connection.
func (c *conn) panicked(r any) error {
	c.srv.cfg.Logger.Error("a request panicked; its connection is closed",
		"client", c.session.Remote, "panic", r, "stack", string(debug.Stack()))
	return fmt.Errorf("panic: %v", r)
}
