// Package testport gives tests ports for what is stopped and started again at the same
// address. A port stays its test's while nobody listens on it: it is none of those that
// systems give to outgoing connections and to listeners that take any, nor of those
// that tests of other modules look for, and who asks here, in whatever process, is not
// given it.
package testport

import (
	"math/rand/v2"
	"net"
	"testing"
)

// Linux gives ports from 32768 on, others from 49152 on; the repository's
// internal/freeport looks from 20000 on.
const lowest, ports = 10_000, 6_000

// Take returns an address on 127.0.0.1 that nobody else is given before the test ends.
func Take(t testing.TB) string {
	t.Helper()
	at, release := take(rand.IntN(ports)) //nolint:gosec // any will do
	if at == nil {
		t.Fatalf("no port of 127.0.0.1 from %d to %d is free", lowest, lowest+ports-1)
	}
	t.Cleanup(release)
	return at.String()
}

// take looks from the port lowest+first on; it returns nil when none is free.
func take(first int) (addr *net.TCPAddr, release func()) {
	for i := range ports {
		at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: lowest + (first+i)%ports}
		// The port's namesake of UDP, which nobody uses, says that it is taken.
		taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port})
		if err != nil {
			continue
		}
		if l, err := net.ListenTCP("tcp", at); err == nil && l.Close() == nil {
			return at, func() { _ = taken.Close() } // nothing was sent
		}
		_ = taken.Close() // a program listens there
	}
	return nil, nil
}
