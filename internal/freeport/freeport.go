// Package freeport finds ports for what listens some time later. They are none of those
// that systems give to outgoing connections and to listeners that take any: one of these
// could have it meanwhile, and keeps it for a minute after its end, so that runs of
// free ports are hard to find among them.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Linux gives ports from 32768 on, others from 49152 on.
const (
	lowest = 20_000
	above  = 32_000
)

// Find returns a port on 127.0.0.1 that nobody listens on at this moment, nor on those
// that are so much above it.
func Find(also ...int) (int, error) {
	for range 1000 {
		port := lowest + rand.IntN(above-lowest) //nolint:gosec // any will do
		if free(port) && allFree(port, also) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1 from %d to %d", lowest, above-1)
}

func allFree(port int, also []int) bool {
	for _, n := range also {
		if !free(port + n) {
			return false
		}
	}
	return true
}

func free(port int) bool {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	return err == nil && l.Close() == nil
}
