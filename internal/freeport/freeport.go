// Package freeport finds ports for what listens some time later. They are none of those
// that systems give to outgoing connections and to listeners that take any: one of these
// could have it meanwhile, and keeps it for a minute after its end, so that runs of
// free ports are hard to find among them.
//
// A port that was found is marked, for as long as this process runs, by a UDP socket of
// the same number, so that nobody else who looks here finds it before it is used.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Linux gives ports from 32768 on, others from 49152 on.
const (
	lowest = 20_000
	above  = 32_000
)

// Find returns a port on 127.0.0.1 that nobody listens on at this moment, nor on those
// that are so much above it, and that nobody else has found.
func Find(also ...int) (int, error) {
	for range 1000 {
		port := lowest + rand.IntN(above-lowest) //nolint:gosec // any will do
		if take(append([]int{0}, also...), port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1 from %d to %d", lowest, above-1)
}

// marks are never closed: one that nobody refers to would be.
var (
	mu    sync.Mutex
	marks []*net.UDPConn
)

// take marks the ports that are so much above first; all of them, or none if one is not
// free.
func take(offsets []int, first int) bool {
	var taken []*net.UDPConn
	for _, n := range offsets {
		mark, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first + n})
		if err == nil {
			taken = append(taken, mark)
		}
		if err != nil || !free(first+n) {
			for _, mark := range taken {
				mark.Close()
			}
			return false
		}
	}
	mu.Lock()
	defer mu.Unlock()
	marks = append(marks, taken...)
	return true
}

func free(port int) bool {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	return err == nil && l.Close() == nil
}
