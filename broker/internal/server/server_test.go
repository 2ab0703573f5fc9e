package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/testcert"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// pipes is a listener of connections in memory.
type pipes struct {
	queue chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.queue <- theirs
	return ours
}

// echo answers each request with a response of a size, which waits for wait.
type echo struct {
	size int
	wait chan struct{} // nil: does not wait
	seen atomic.Int64
}

func (e *echo) Handle(_ context.Context, s *api.Session, req *wire.Request) (api.Reply, error) {
	e.seen.Add(1)
	s.Waits = e.wait != nil
	return func(ctx context.Context, v *wire.Vec) error {
		if e.wait != nil {
			select {
			case <-e.wait:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		v.Append(func(dst []byte) []byte { return wire.AppendResponseHeader(dst, req) })
		v.Attach(make([]byte, e.size))
		return nil
	}, nil
}

func (*echo) HandleRaw(context.Context, *api.Session, []byte) ([]byte, error) {
	return nil, errors.New("not expected")
}

// world is a server in a bubble of time.
type world struct {
	*pipes
	hits limit.Hits
	srv  *Server
}

func serve(t *testing.T, h Handler, principal string, edit func(*Config)) *world {
	t.Helper()
	return serveTLS(t, h, principal, nil, edit)
}

func serveTLS(t *testing.T, h Handler, principal string, encrypt *tls.Config, edit func(*Config)) *world {
	t.Helper()
	w := &world{pipes: &pipes{queue: make(chan net.Conn), done: make(chan struct{})}}
	cfg := Config{
		Handler: h, Limits: wire.Limits{Unauthenticated: 64 << 10, Produce: 100 << 20, Other: 1 << 20},
		Bounds:       func(string, string) Bounds { return Bounds{Total: 100, Listener: 100, Host: 100} },
		LoginTimeout: 5 * time.Second, IdleTimeout: 10 * time.Minute, WriteTimeout: 30 * time.Second,
		Logger: slog.New(slog.DiscardHandler), Hits: &w.hits,
	}
	if edit != nil {
		edit(&cfg)
	}
	w.srv = New(cfg)
	served := make(chan error, 1)
	go func() {
		served <- w.srv.Serve(Listener{Listener: w.pipes, Name: "TEST", Principal: principal, TLS: encrypt})
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		w.srv.Close(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) hit(l limit.Limit) (n int64) {
	w.hits.Each(func(which limit.Limit, hits int64) {
		if which == l {
			n = hits
		}
	})
	return n
}

// request is a frame with a request of a key and no body.
func request(key int16) []byte {
	b := []byte{0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}
	binary.BigEndian.PutUint16(b[4:], uint16(key))
	return b
}

// produce is the frame of a Produce request without a transaction, of size bytes in all.
func produce(size int) []byte {
	b := request(wire.KeyProduce)
	b = append(b, make([]byte, size-len(b))...)
	binary.BigEndian.PutUint32(b, uint32(size-4))
	b[7] = 3                  // the version
	b[14], b[15] = 0xff, 0xff // no transaction
	return b
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// ends returns when the server closes the connection.
func ends(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestTimeouts: who does not log in, and who asks nothing, is disconnected.
func TestTimeouts(t *testing.T) {
	encrypt := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{testcert.New(t, "server", nil)}}
	for _, c := range []struct {
		name, principal string
		encrypt         *tls.Config
		send            []byte
		after           time.Duration
		limit           limit.Limit
	}{
		{"without a word", "", nil, nil, 5 * time.Second, limit.Login},
		{"without a word of TLS", "", encrypt, nil, 5 * time.Second, limit.Login},
		{"without authentication", "", nil, request(18), 5 * time.Second, limit.Login},
		{"half a frame", "", nil, []byte{0, 0}, 5 * time.Second, limit.Login},
		{"idle from the start", "User:a", nil, nil, 10 * time.Minute, limit.Idle},
		{"idle after a request", "User:a", nil, request(3), 10 * time.Minute, limit.Idle},
		{"half a frame of a user", "User:a", nil, request(3)[:9], 10 * time.Minute, limit.Idle},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				w := serveTLS(t, &echo{}, c.principal, c.encrypt, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
				conn := w.dial()
				if c.send != nil {
					write(t, conn, c.send)
				}
				if took := ends(t, conn); took != c.after {
					t.Errorf("disconnected after %v", took)
				}
				synctest.Wait()
				if w.hit(c.limit) != 1 {
					t.Errorf("counted %d times", w.hit(c.limit))
				}
				if told := strings.Count(log.String(), "quokka.login.timeout.ms"); (told == 1) != (c.limit == limit.Login) || told > 1 {
					t.Errorf("the log says: %s", &log)
				}
			})
		})
	}
}

// TestFrames: a frame over its limit ends the connection when its first bytes are there.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name, principal string
		size            uint32
		key             int16
		limit           limit.Limit
	}{
		{"before authentication", "", 64<<10 + 1, 18, limit.LoginFrame},
		{"produce before authentication", "", 64<<10 + 1, 0, limit.LoginFrame},
		{"produce", "User:a", 100<<20 + 1, 0, limit.ProduceFrame},
		{"any other", "User:a", 1<<20 + 1, 1, limit.RequestFrame},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := serve(t, &echo{}, c.principal, nil)
				conn := w.dial()
				head := request(c.key)[:6]
				binary.BigEndian.PutUint32(head, c.size)
				write(t, conn, head)
				if took := ends(t, conn); took != 0 {
					t.Errorf("disconnected after %v", took)
				}
				synctest.Wait()
				if w.hit(c.limit) != 1 {
					t.Errorf("counted %d times", w.hit(c.limit))
				}
			})
		})
	}
}

// TestWriteTimeout: a client that takes nothing of its answer is disconnected, one
// that takes it slowly is not, however long that takes; over TLS too, where a record
// may take longer than the timeout.
func TestWriteTimeout(t *testing.T) {
	chain := testcert.New(t, "server", nil)
	roots := testcert.Pool(chain)
	for _, c := range []struct {
		name         string
		encrypt      *tls.Config
		answer, step int
	}{
		{"plain", nil, 1 << 20, 32 << 10},
		{"TLS", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{chain}}, 64 << 10, 3 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := serveTLS(t, &echo{size: c.answer}, "User:a", c.encrypt, nil)
				connect := func() (*slow, net.Conn) {
					raw := &slow{Conn: w.dial()}
					if c.encrypt == nil {
						return raw, raw
					}
					return raw, tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "server"})
				}
				gone, reader := connect()
				write(t, reader, request(3))
				raw, reader := connect()
				write(t, reader, request(3))
				began := time.Now()
				raw.step = c.step
				answer := make([]byte, 8+c.answer)
				if _, err := io.ReadFull(reader, answer); err != nil {
					t.Fatalf("after %v: %v", time.Since(began), err)
				}
				if size := binary.BigEndian.Uint32(answer); int(size) != 4+c.answer {
					t.Errorf("the answer has %d bytes", size)
				}
				if n, err := gone.Read(answer); !errors.Is(err, io.EOF) {
					t.Errorf("who took nothing reads %d bytes: %v", n, err)
				}
				if w.hit(limit.Write) != 1 {
					t.Errorf("counted %d times", w.hit(limit.Write))
				}
			})
		})
	}
}

// slow is a client's connection that takes no more than step bytes in 29 s; 0 is all.
type slow struct {
	net.Conn
	step int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.step > 0 {
		time.Sleep(29 * time.Second)
		p = p[:min(len(p), s.step)]
	}
	return s.Conn.Read(p)
}

// TestQueued: no more than maxQueued answers wait in a connection; the next request
// is not read until one of them is out. Answers come in order.
func TestQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &echo{wait: make(chan struct{})}
		w := serve(t, h, "User:a", nil)
		conn := w.dial()
		const all = 3 * maxQueued
		go func() {
			for i := range all {
				b := request(wire.KeyProduce)
				b[11] = byte(i)
				if _, err := conn.Write(b); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if n := h.seen.Load(); n != maxQueued {
			t.Errorf("%d requests are under way", n)
		}
		if w.hit(limit.Queued) != 1 {
			t.Errorf("counted %d times", w.hit(limit.Queued))
		}
		close(h.wait)
		for i := range all {
			frame := make([]byte, 8)
			if _, err := io.ReadFull(conn, frame); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(frame, []byte{0, 0, 0, 4, 0, 0, 0, byte(i)}) {
				t.Fatalf("answer %d is %x", i, frame)
			}
		}
	})
}

// TestConnectQuota: a connection over the quota is held before it is closed, and
// nothing is read of it; closing the server does not wait for that.
func TestConnectQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &echo{}
		w := serve(t, h, "User:a", func(c *Config) {
			c.ConnectQuota = func(netip.Addr) time.Duration { return time.Second }
		})
		if took := ends(t, w.dial()); took != time.Second {
			t.Errorf("closed after %v", took)
		}
		conn := w.dial()
		began := time.Now()
		go w.srv.Close(t.Context())
		if ends(t, conn); time.Since(began) != 0 || h.seen.Load() != 0 {
			t.Errorf("closed after %v, %d requests were read", time.Since(began), h.seen.Load())
		}
	})
}

// TestBounds: connections over a bound are closed at once, and counted by its name.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bounds := Bounds{Total: 3, Listener: 100, Host: 2}
		w := serve(t, &echo{}, "User:a", func(c *Config) { c.Bounds = func(string, string) Bounds { return bounds } })
		first := w.dial()
		w.dial()
		ends(t, w.dial())
		bounds.Host = 100
		w.dial()
		ends(t, w.dial())
		refused := w.srv.Stats()[0].Refused
		if refused["max.connections"] != 1 || refused["max.connections.per.ip"] != 1 {
			t.Errorf("refused are %v", refused)
		}
		_ = first.Close() // makes room
		synctest.Wait()
		conn := w.dial()
		write(t, conn, request(3))
		if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
			t.Errorf("when there is room again: %v", err)
		}
	})
}

// reader does a request when all of it has come.
type reader struct{ echo }

func (r *reader) Handle(ctx context.Context, s *api.Session, req *wire.Request) (api.Reply, error) {
	r.seen.Add(1) // it has begun
	if err := req.Whole(); err != nil {
		return nil, err
	}
	return r.echo.Handle(ctx, s, req)
}

// TestInParts: of a large Produce request the handler has the beginning before the rest
// has come. Who is silent then is idle, and has a moment when the server closes, in all,
// however steadily it goes on.
func TestInParts(t *testing.T) {
	const size = 1 << 20
	large := produce(size)
	answer := []byte{0, 0, 0, 4, 0, 0, 0, 1}
	for _, c := range []struct {
		name string
		h    interface {
			Handler
			begun() int64
		}
		pause time.Duration // before each half of the rest
		close bool          // the server, before it
		want  bool          // an answer
		limit int64         // how often limit.Idle is counted
	}{
		{"a slow client", &reader{}, 6 * time.Minute, false, true, 0},
		{"an idle client", &reader{}, 11 * time.Minute, false, false, 1},
		{"a client that goes on when the server closes", &reader{}, lastParts / 3, true, true, 0},
		{"a client that does not", &reader{}, 2 * lastParts, true, false, 0},
		{"a client that goes on too slowly", &reader{}, lastParts * 2 / 3, true, false, 0},
		{"a handler that does not want the rest", &echo{}, 4 * time.Minute, false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var took atomic.Int64
				w := serve(t, c.h, "User:a", func(cfg *Config) {
					cfg.Observe = func(_ int16, d time.Duration, in, _ int) {
						if took.Store(int64(d)); in != size {
							t.Errorf("observed as a request of %d bytes", in)
						}
					}
				})
				conn := w.dial()
				write(t, conn, large[:size/8])
				synctest.Wait()
				if n := c.h.begun(); n != 1 {
					t.Fatalf("%d requests have begun", n)
				}
				closed := make(chan struct{})
				if c.close {
					go func() {
						w.srv.Close(t.Context())
						close(closed)
					}()
				} else {
					close(closed)
				}
				synctest.Wait()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for _, half := range [][]byte{large[size/8 : size/2], large[size/2:]} {
						time.Sleep(c.pause)
						_, _ = conn.Write(half) // the connection may be gone
					}
				}()
				got := make([]byte, len(answer))
				if _, err := io.ReadFull(conn, got); (err == nil) != c.want {
					t.Errorf("the answer: %v", err)
				} else if c.want && !bytes.Equal(got, answer) {
					t.Errorf("the answer is %x", got)
				}
				<-closed
				synctest.Wait()
				if n := w.hit(limit.Idle); n != c.limit {
					t.Errorf("counted as idle %d times", n)
				}
				if took.Load() != 0 {
					t.Errorf("observed as taking %v, of which the client took all", time.Duration(took.Load()))
				}
				conn.Close()
				<-sent
			})
		})
	}
}

func (e *echo) begun() int64 { return e.seen.Load() }

// TestSilentBeyond: when a request goes beyond the memory for all, and its client falls
// silent, it is disconnected, and those who wait go on. One that is slow is waited for.
func TestSilentBeyond(t *testing.T) {
	for _, c := range []struct {
		name        string
		size, first int
		pause       time.Duration // before each 256 KiB behind the first; 0: nothing comes
		wait        time.Duration
		idle        int64
	}{
		{"in parts", 1 << 20, 300 << 10, 0, 30 * time.Second, 1},
		{"in parts, hardly begun", 1 << 20, 8 << 10, 0, 30 * time.Second, 1},
		{"as a whole", 400 << 10, 300 << 10, 0, 30 * time.Second, 1},
		{"slow", 1 << 20, 256 << 10, 29 * time.Second, 3 * 29 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := serve(t, &reader{}, "User:a", func(cfg *Config) { cfg.Frames = wire.NewFrameBudget(1, nil) })
				held, waits := w.dial(), w.dial()
				began := time.Now()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					b := produce(c.size)
					_, err := held.Write(b[:c.first])
					for b = b[c.first:]; err == nil && c.pause > 0 && len(b) > 0; b = b[256<<10:] {
						time.Sleep(c.pause)
						_, err = held.Write(b[:256<<10])
					}
				}()
				synctest.Wait()
				go func() { _, _ = io.Copy(io.Discard, held) }()
				go func() { _, _ = waits.Write(produce(100 << 10)) }() // what fails shows in the answer
				if _, err := io.ReadFull(waits, make([]byte, 8)); err != nil || time.Since(began) != c.wait {
					t.Errorf("who waits is answered after %v: %v", time.Since(began), err)
				}
				synctest.Wait()
				if n := w.hit(limit.Idle); n != c.idle {
					t.Errorf("counted as idle %d times", n)
				}
				_ = held.Close() // it may be gone
				<-sent
			})
		})
	}
}
