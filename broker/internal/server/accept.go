package server

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/limit"
)

// Listener is a named listener.
type Listener struct {
	net.Listener
	Name string
	// Principal is who a client is before it authenticates; empty where it has to.
	Principal string
	// TLS, if it is set, encrypts the listener.
	TLS *tls.Config
	// Certificate, if it is set, returns who the subject of a client's verified
	// certificate is, or that it is nobody.
	Certificate func(subject string) (principal string, ok bool)
}

// Bounds are how many connections there may be, and how many new ones per second.
type Bounds struct {
	Total, Listener, Host int
	Rate, ListenerRate    int
}

// Stats are the figures of one listener.
type Stats struct {
	Listener           string
	Open               int
	Accepted           int64
	Refused            map[string]int64 // by the bound that refused them
	LoggedIn, NotLogin int64            // authentications that succeeded, and that failed
}

// listening is a listener with its figures.
type listening struct {
	Listener
	// under the server's mutex:
	open     int
	accepted int64
	refused  map[string]int64
	pace     pace

	loggedIn, notLogin atomic.Int64
}

// Stats returns the figures of the listeners that are served, by name.
func (s *Server) Stats() []Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Stats
	for _, l := range s.listeners {
		st := Stats{Listener: l.Name, Open: l.open, Accepted: l.accepted, Refused: map[string]int64{}, LoggedIn: l.loggedIn.Load(), NotLogin: l.notLogin.Load()}
		for why, n := range l.refused {
			st.Refused[why] = n
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b Stats) int { return cmp.Compare(a.Listener, b.Listener) })
	return out
}

// start runs a connection, or closes it where too many are open. It waits where new
// ones come too fast.
func (s *Server) start(l *listening, nc net.Conn) {
	host := hostOf(addrOf(nc))
	bounds := s.cfg.Bounds(l.Name, host)
	s.throttle(l, bounds)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.accepted++
	if why := s.refuses(l, host, bounds); s.closed || why != "" {
		if !s.closed {
			l.refused[why]++
			s.cfg.Logger.Warn("connection refused: too many are open; "+why+" bounds them", "listener", l.Name, "client", nc.RemoteAddr())
		}
		_ = nc.Close() // refused: nothing is owed to it
		return
	}
	c := newConn(s, l, nc)
	s.conns[c] = struct{}{}
	l.open++
	s.hosts[host]++
	s.wg.Go(func() {
		c.run()
		s.mu.Lock()
		delete(s.conns, c)
		l.open--
		if s.hosts[host]--; s.hosts[host] == 0 {
			delete(s.hosts, host)
		}
		s.mu.Unlock()
	})
}

// refuses says by which setting a connection is one too many, "" when it is not.
func (s *Server) refuses(l *listening, host string, b Bounds) string {
	switch {
	case len(s.conns) >= b.Total:
		return "max.connections"
	case l.open >= b.Listener:
		return "listener.max.connections"
	case s.hosts[host] >= b.Host:
		return "max.connections.per.ip"
	}
	return ""
}

// throttle waits until one more connection may be accepted.
func (s *Server) throttle(l *listening, b Bounds) {
	now := time.Now()
	s.mu.Lock()
	wait := max(s.pace.take(b.Rate, now), l.pace.take(b.ListenerRate, now))
	s.mu.Unlock()
	if wait <= 0 {
		return
	}
	s.cfg.Hits.Hit(limit.ConnectionRate)
	select {
	case <-time.After(wait):
	case <-s.soft.Done():
	}
}

// addrOf is the address that a connection comes from; the zero one where it has none.
func addrOf(nc net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{} // a connection that is no network's
	}
	return a.Addr().Unmap()
}

// hostOf names an address; "" is this machine itself, and what comes by no network.
func hostOf(a netip.Addr) string {
	if !a.IsValid() || a.IsLoopback() {
		return ""
	}
	return a.String()
}

// pace is when the next of a row of events may happen: rate per second, a second's
// worth of which may come at once.
type pace struct{ next time.Time }

// take lets one event happen and returns how long it has to wait. A rate that is
// not positive is no bound.
func (p *pace) take(rate int, now time.Time) time.Duration {
	if rate <= 0 {
		return 0
	}
	if p.next.Before(now.Add(-time.Second)) {
		p.next = now.Add(-time.Second)
	}
	p.next = p.next.Add(time.Second / time.Duration(rate))
	return p.next.Sub(now)
}
