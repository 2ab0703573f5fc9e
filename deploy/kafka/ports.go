package kafka

import "github.com/quokka-stream/quokka/internal/freeport"

// FreePort returns a port for Config.Port that, with the others that a cluster
// of so many nodes takes, is free at this moment.
func FreePort(nodes int) (int, error) {
	others := []int{controllerPorts}
	for n := 1; n < nodes; n++ {
		others = append(others, n, controllerPorts+n)
	}
	return freeport.Find(others...)
}
