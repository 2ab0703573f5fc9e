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
	for _, found := range append(also, 0) {
		if take([]int{found}, port) {
			t.Errorf("port %d was found twice", port+found)
		}
		if !free(port + found) {
			t.Errorf("port %d cannot be listened on by who found it", port+found)
		}
	}
}

// TestTaken: a port that somebody listens on is not found, nor one before it.
func TestTaken(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if take([]int{0}, port) || take([]int{0, 7}, port-7) {
		t.Errorf("port %d is taken and counts as free", port)
	}
}
