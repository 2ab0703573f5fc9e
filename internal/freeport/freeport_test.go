package freeport

import (
	"net"
	"testing"
)

func TestFind(t *testing.T) {
	also := []int{1, 10, 11}
	port, err := Find(also...)
	if err != nil {
		t.Fatal(err)
	}
	if port < lowest || port+11 >= 32768 {
		t.Errorf("port %d is one that Linux gives to connections, or the last is", port)
	}
	for _, taken := range append(also, 0) {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + taken})
		if err != nil {
			t.Fatal(err)
		}
		if free(port) && allFree(port, also) {
			t.Errorf("port %d is taken and counts as free", port+taken)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
