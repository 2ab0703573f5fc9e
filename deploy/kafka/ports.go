package kafka

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports for tests come from below the range out of which Linux (32768) and macOS
// (49152) give a port to every outgoing connection: one that has ended keeps its
// port for a minute, and after four thousand of them a run of free ports is hard
// to find up there.
const (
	lowestFreePort  = 20000
	highestFreePort = 32000
)

// FreePort returns a port for Config.Port that, with the others that a cluster
// of so many nodes takes, is free at this moment.
func FreePort(nodes int) (int, error) {
	for range 1000 {
		port := lowestFreePort + rand.IntN(highestFreePort-lowestFreePort)
		if allFree(port, nodes) && allFree(port+controllerPorts, nodes) {
			return port, nil
		}
	}
	return 0, errors.New("no free ports for Apache Kafka between " + strconv.Itoa(lowestFreePort) + " and " + strconv.Itoa(highestFreePort))
}

// allFree reports whether n ports from port on are free.
func allFree(port, n int) bool {
	for p := port; p < port+n; p++ {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p})
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}
