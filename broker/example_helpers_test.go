package broker_test

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
)

// open starts a broker for an example, in memory unless the configuration says
// otherwise, on a free port, and returns what ends it.
func open(cfg broker.Config) (b *broker.Broker, end func()) {
	cfg.InMemory = cfg.DataDir == ""
	if cfg.Listen == "" && cfg.Listener == nil && len(cfg.Listeners) == 0 {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.GroupInitialRebalanceDelay = -1 // nobody else is about to join
	cfg.Logger = slog.New(slog.DiscardHandler)
	b, err := broker.Open(cfg)
	check(err)
	served := make(chan error, 1)
	go func() { served <- b.Serve() }()
	return b, func() {
		check(b.Close())
		check(<-served)
	}
}

// connect returns a client of a broker.
func connect(b *broker.Broker, opts ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation()}, opts...)...)
	check(err)
	return client
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
