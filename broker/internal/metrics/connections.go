package metrics

import (
	"maps"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/server"
)

// connections writes the figures of listeners, under the names of Kafka's socket
// server.
func connections(p *page, listeners []server.Stats) {
	const prefix = "kafka_server_socket_server_metrics_"
	each := func(typ, name string, f func(server.Stats) float64) {
		for _, l := range listeners {
			p.sample(typ, prefix+name, f(l), "listener", l.Listener)
		}
	}
	each("gauge", "connection_count", func(l server.Stats) float64 { return float64(l.Open) })
	each("counter", "connection_creation_total", func(l server.Stats) float64 { return float64(l.Accepted) })
	each("counter", "successful_authentication_total", func(l server.Stats) float64 { return float64(l.LoggedIn) })
	each("counter", "failed_authentication_total", func(l server.Stats) float64 { return float64(l.NotLogin) })
	for _, l := range listeners {
		for _, why := range slices.Sorted(maps.Keys(l.Refused)) {
			p.sample("counter", "quokka_broker_connections_refused_total", float64(l.Refused[why]), "listener", l.Listener, "bound", why)
		}
	}
}
