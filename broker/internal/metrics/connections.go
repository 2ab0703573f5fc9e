package metrics

import (
	"maps"
	"slices"
)

// connections writes the figures of listeners, under the names of Kafka's socket
// server.
func connections(p *page, listeners []Listener) {
	const prefix = "kafka_server_socket_server_metrics_"
	each := func(typ, name string, f func(Listener) int64) {
		for _, l := range listeners {
			p.sample(typ, name, float64(f(l)), "listener", l.Name)
		}
	}
	each("gauge", prefix+"connection_count", func(l Listener) int64 { return int64(l.Open) })
	each("counter", prefix+"connection_creation_total", func(l Listener) int64 { return l.Accepted })
	each("counter", prefix+"successful_authentication_total", func(l Listener) int64 { return l.LoggedIn })
	each("counter", prefix+"failed_authentication_total", func(l Listener) int64 { return l.NotLogin })
	for _, l := range listeners {
		for _, why := range slices.Sorted(maps.Keys(l.Refused)) {
			p.sample("counter", "quokka_broker_connections_refused_total", float64(l.Refused[why]), "listener", l.Name, "bound", why)
		}
	}
}
