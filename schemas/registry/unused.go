package registry

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// unusedGrace is how long after the beginning of a shutdown a request may still come
// on a connection that was opened before it and not used yet.
const unusedGrace = 250 * time.Millisecond

// unused knows the connections of a server on which nothing has been asked yet. Clients
// open some in advance, or when the answer to another request frees one first. net/http
// takes them for busy until they are five seconds old, which is longer than a shutdown
// lasts, so each would make it fail. Package services/kit/service has the same: neither
// may import the other, and a module for this alone would be more than it saves.
type unused struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
}

// note is the server's ConnState.
func (u *unused) note(conn net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, conn)
	case u.ended:
		_ = conn.Close()
	default:
		if u.conns == nil {
			u.conns = map[net.Conn]struct{}{}
		}
		u.conns[conn] = struct{}{}
	}
}

func (u *unused) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for conn := range u.conns {
		_ = conn.Close()
	}
}

// shutdown is server.Shutdown, for a server whose ConnState is note. It closes unused
// connections after unusedGrace, and gives as long again where ctx is over before all
// have ended.
func (u *unused) shutdown(ctx context.Context, server *http.Server) error {
	defer time.AfterFunc(unusedGrace, u.end).Stop()
	err := server.Shutdown(ctx)
	if ctx.Err() == nil {
		return err
	}
	// Where the machine stood still, the time was over before anybody had any.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), unusedGrace)
	defer cancel()
	return server.Shutdown(last)
}
