package cdc

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

// muted is a connection whose requests vanish once off is set.
type muted struct {
	net.Conn
	off *atomic.Bool
}

func (c muted) Write(p []byte) (int, error) {
	if c.off.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestSaveEndsWithItsContext: progress that the broker was sent and never answered
// for does not hold up an end of the relay.
func TestSaveEndsWithItsContext(t *testing.T) {
	var off atomic.Bool
	opts := []kgo.Opt{kgo.SeedBrokers(brokertest.Brokers(t)...)}
	client, err := kgo.NewClient(append(opts[:1:1], kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequestTimeoutOverhead(10*time.Minute), // not the client is to give up
		kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return muted{c, &off}, err
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	store := &stateStore{client: client, opts: opts, topic: "state-" + t.Name(), key: "database/slot"}
	if _, err := store.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.save(t.Context(), &state{Epoch: 1}); err != nil {
		t.Fatal(err)
	}

	off.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	saved := make(chan error, 1)
	go func() { saved <- store.save(ctx, &state{Epoch: 2}) }()
	select {
	case err := <-saved:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's end", err)
		}
	case <-time.After(patience):
		t.Fatal("the save outlives its context")
	}
}
