package server

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// from is a connection that comes from an address.
type from struct {
	net.Conn
	addr net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.addr }

// handed is a listener that accepts what it is given.
type handed chan net.Conn

func (h handed) Accept() (net.Conn, error) {
	c, ok := <-h
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (h handed) Close() error   { return nil }
func (h handed) Addr() net.Addr { return &net.TCPAddr{} }

// idle is a handler that nobody asks.
type idle struct{}

func (idle) Handle(context.Context, *api.Session, *wire.Request) (api.Reply, error) {
	return nil, api.ErrNoReply
}
func (idle) HandleRaw(context.Context, *api.Session, []byte) ([]byte, error) { return nil, io.EOF }

// TestBoundsPerListener: what bounds the connections of one address, of one listener, and of
// all; this machine's own address has a bound of its own. Refusals are counted by
// what bounds.
func TestBoundsPerListener(t *testing.T) {
	s := New(Config{
		Handler: idle{}, Limits: wire.Limits{Unauthenticated: 1 << 10, Produce: 1 << 10, Other: 1 << 10},
		IdleTimeout: time.Minute, WriteTimeout: time.Minute, LoginTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler),
		Bounds: func(_, host string) Bounds {
			if host == "" {
				return Bounds{Total: 8, Listener: 6, Host: math.MaxInt}
			}
			return Bounds{Total: 8, Listener: 6, Host: 2}
		},
	})
	a, z := make(handed), make(handed)
	ended := make(chan error, 2)
	go func() { ended <- s.Serve(Listener{Listener: a, Name: "A", Principal: "User:ANONYMOUS"}) }()
	go func() { ended <- s.Serve(Listener{Listener: z, Name: "Z", Principal: "User:ANONYMOUS"}) }()
	var open []net.Conn
	connect := func(l handed, ip string, want bool) {
		t.Helper()
		ours, theirs := net.Pipe()
		l <- from{theirs, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
		if !want {
			if _, err := ours.Read(make([]byte, 1)); err == nil {
				t.Error("an answer to nothing")
			}
			return
		}
		// A frame that is taken in shows that the connection is kept.
		if _, err := ours.Write([]byte{0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
			t.Fatalf("a connection from %s is refused", ip)
		}
		open = append(open, ours)
	}
	connect(a, "192.0.2.1", true)
	connect(a, "192.0.2.1", true)
	connect(a, "192.0.2.1", false)
	connect(z, "192.0.2.1", false) // an address is bounded over all listeners
	for range 4 {
		connect(a, "127.0.0.1", true)
	}
	connect(a, "::1", false)
	connect(z, "127.0.0.1", true)
	connect(z, "192.0.2.2", true)
	connect(z, "192.0.2.2", false)
	for i, want := range []Stats{
		{Listener: "A", Open: 6, Accepted: 8, Refused: map[string]int64{"max.connections.per.ip": 1, "listener.max.connections": 1}},
		{Listener: "Z", Open: 2, Accepted: 4, Refused: map[string]int64{"max.connections.per.ip": 1, "max.connections": 1}},
	} {
		got := s.Stats()[i]
		if got.Listener != want.Listener || got.Open != want.Open || got.Accepted != want.Accepted {
			t.Errorf("%+v, want %+v", got, want)
		}
		for _, bound := range []string{"max.connections", "listener.max.connections", "max.connections.per.ip"} {
			if got.Refused[bound] != want.Refused[bound] {
				t.Errorf("%s of %s refused %d, want %d", bound, want.Listener, got.Refused[bound], want.Refused[bound])
			}
		}
	}
	// One that ends makes room.
	_ = open[0].Close()
	for deadline := time.Now().Add(2 * time.Minute); s.Stats()[0].Open == 6; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a connection that has ended counts on")
		}
	}
	connect(a, "192.0.2.1", true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close(ctx)
	close(a)
	close(z)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for _, st := range s.Stats() {
		if st.Open != 0 {
			t.Errorf("%+v after the end", st)
		}
	}
}
