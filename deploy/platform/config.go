package platform

import (
	"log/slog"
	"slices"

	"github.com/quokka-stream/quokka/deploy/roster"
)

// Config says what to run and what is there already. The zero value runs
// everything, on the default ports, in the current directory.
type Config struct {
	// DataDir keeps everything between runs.
	DataDir string
	// Temporary: the data directory is removed at the end, so PostgreSQL need not
	// flush it. The broker flushes all the same.
	Temporary bool

	// Addrs are where parts listen. What is not given listens on its default
	// port, or with FreePorts on any.
	Addrs     map[Part]string
	FreePorts bool

	// Kafka, RegistryURL, PostgresURL, SearchURL and OTLP are servers to use
	// instead of the embedded parts. TracesURL is where traces sent to OTLP can be
	// asked for, if that is known.
	Kafka       []string
	RegistryURL string
	PostgresURL string
	SearchURL   string
	OTLP        string
	TracesURL   string

	// Flush is the embedded broker's flush policy; empty: its default.
	Flush string
	// BrokerTrace shows the embedded broker's work in the traces of its clients.
	BrokerTrace bool
	// Reset deletes everything of Quokka's first.
	Reset bool

	// Environ configures what has no field here, as it would the parts alone.
	Environ map[string]string
	// LogFile takes the log lines of all parts; empty: quokka.log in the data
	// directory.
	LogFile string
	// Notice takes what a user should know, such as where PostgreSQL keeps its
	// files; nil drops it.
	Notice *slog.Logger
}

// parts lists what is to be started and listens.
func (c Config) parts() []Part {
	all := []Part{Broker, Registry, Postgres, SMTP, Mail, Traces}
	for _, s := range roster.Services() {
		all = append(all, Part(s.Name))
	}
	return slices.DeleteFunc(all, func(p Part) bool {
		switch p {
		case Broker:
			return len(c.Kafka) > 0
		case Registry:
			return c.RegistryURL != ""
		case Postgres:
			return c.PostgresURL != ""
		case Traces:
			return c.OTLP != ""
		}
		return false
	})
}
