package registry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// single is a listener of one connection.
type single chan net.Conn

func (l single) Accept() (net.Conn, error) {
	if conn, ok := <-l; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l single) Close() error { close(l); return nil }

func (single) Addr() net.Addr { return &net.TCPAddr{} }

// TestShutdownGivesAMoment: a request that is running when the time of a shutdown is
// already over, as where the machine stood still, is not cut off at once; one that runs
// on is.
func TestShutdownGivesAMoment(t *testing.T) {
	for took, want := range map[time.Duration]error{unusedGrace / 2: nil, time.Minute: context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			var u unused
			server := &http.Server{ConnState: u.note, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(took) })}
			listener, served := make(single, 1), make(chan error, 1)
			client, conn := net.Pipe()
			defer client.Close()
			listener <- conn
			go func() { served <- server.Serve(listener) }()
			go func() { _, _ = io.Copy(io.Discard, client) }()
			if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the handler runs
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if err := u.shutdown(over, server); !errors.Is(err, want) {
				t.Errorf("a request of %v: %v, want %v", took, err, want)
			}
			server.Close()
			<-served
			time.Sleep(time.Minute) // virtual: the handler returns
		})
	}
}

// TestUnusedAfterTheEnd: a connection that is accepted when the unused ones have been
// closed is closed, too.
func TestUnusedAfterTheEnd(t *testing.T) {
	var u unused
	u.end()
	client, conn := net.Pipe()
	defer client.Close()
	u.note(conn, http.StateNew)
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want %v", err, io.EOF)
	}
}
