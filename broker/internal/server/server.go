package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// Handler answers requests; see api.Handler.
type Handler interface {
	Handle(ctx context.Context, s *api.Session, req *wire.Request) (api.Reply, error)
	HandleRaw(ctx context.Context, s *api.Session, message []byte) ([]byte, error)
}

// Config configures a Server.
type Config struct {
	Handler Handler
	Limits  wire.Limits
	// Frames, if it is set, bounds the memory that Produce requests take.
	Frames *wire.FrameBudget
	// Bounds returns how many connections a listener may have from a host, "" for
	// this machine itself; asked anew for each one.
	Bounds func(listener, host string) Bounds
	// ConnectQuota, if it is set, says for how long a connection from an address is to
	// be held before it is refused; 0 for one that is welcome.
	ConnectQuota func(netip.Addr) time.Duration
	// LoginTimeout bounds the TLS handshake, and the time until a client that has to
	// authenticate has done so.
	LoginTimeout time.Duration
	// IdleTimeout ends a connection that sends no request for so long.
	IdleTimeout time.Duration
	// WriteTimeout ends a connection whose client takes no byte of an answer for so long, or
	// which others wait for as Frames are used up, and that sends no 256 KiB in that time.
	WriteTimeout time.Duration
	Logger       *slog.Logger
	Hits         *limit.Hits
	// Observe is called after each answered request; it may be nil.
	Observe func(key int16, took time.Duration, in, out int)
}

// Server serves one or more listeners.
type Server struct {
	cfg Config
	// soft ends when Close begins: what waits for something that may not come is
	// answered with what there is. hard ends when Close stops being patient.
	soft, hard         context.Context
	softEnds, hardEnds context.CancelFunc
	ids                atomic.Uint64

	mu        sync.Mutex
	closed    bool
	listeners []*listening
	conns     map[*conn]struct{}
	hosts     map[string]int // open connections by remote host
	pace      pace
	wg        sync.WaitGroup
}

// New returns a server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, conns: map[*conn]struct{}{}, hosts: map[string]int{}}
	s.soft, s.softEnds = context.WithCancel(context.Background())
	s.hard, s.hardEnds = context.WithCancel(context.Background())
	return s
}

// Serve accepts connections until Close, and closes the listener. After Close it
// returns nil.
func (s *Server) Serve(l Listener) error {
	ln := &listening{Listener: l, refused: map[string]int64{"max.connections": 0, "listener.max.connections": 0, "max.connections.per.ip": 0}}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = ln.Close() // it may have been closed before us
		return nil
	}
	s.listeners = append(s.listeners, ln)
	s.mu.Unlock()
	var pause time.Duration
	for {
		c, err := ln.Accept()
		if err != nil {
			if s.soft.Err() != nil {
				return nil //nolint:nilerr // closing is what made it fail
			}
			var ne net.Error
			if !errors.As(err, &ne) && errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors, mostly: wait for connections to end.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.cfg.Logger.Warn("accepting a connection failed", "err", err, "retry", pause)
			select {
			case <-time.After(pause):
				continue
			case <-s.soft.Done():
				return nil
			}
		}
		pause = 0
		s.start(ln, c)
	}
}

// Close stops accepting and ends all connections: each after the requests that have
// been read of it are answered, or, when ctx ends, at once. Nothing more is read, but the
// rest of a request that is done while it comes in. It returns when all are gone.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.softEnds()
	for _, ln := range s.listeners {
		_ = ln.Close() // an accept that fails is what is wanted
	}
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.hardEnds()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.raw.Close() // ends whatever it is in, without TLS's farewell, which may take long
	}
	s.mu.Unlock()
	<-done
}
