package kafka

import (
	"net"
	"strconv"
	"testing"
)

func TestFreePort(t *testing.T) {
	const ephemeral = 32768 // where Linux begins to give ports to outgoing connections
	for _, nodes := range []int{1, 3} {
		port, err := FreePort(nodes)
		if err != nil {
			t.Fatal(err)
		}
		if last := port + controllerPorts + nodes - 1; port < 1024 || last >= ephemeral {
			t.Errorf("ports %d to %d: want none from %d on", port, last, ephemeral)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+nodes-1)))
		if err != nil {
			t.Fatal(err)
		}
		if allFree(port, nodes) {
			t.Errorf("the last of %d ports from %d on is taken, and is reported as free", nodes, port)
		}
		l.Close()
	}
}
