package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas/serde"
)

// Client is a connection to a cluster and its schema registry.
type Client struct {
	brokers []string
	client  *kgo.Client
	admin   *kadm.Client
	decoder *decoder
}

// answerIn is how long a cluster may take to answer at all.
const answerIn = 10 * time.Second

// Open connects. The registry may be empty: values are then shown undecoded.
func Open(ctx context.Context, brokers []string, registryURL string) (*Client, error) {
	c := &Client{brokers: brokers}
	if registryURL != "" {
		s, err := serde.New(registryURL, serde.WithRetries(2, 100*time.Millisecond))
		if err != nil {
			return nil, err
		}
		c.decoder = &decoder{serde: s}
	}
	client, err := c.connect()
	if err != nil {
		c.Close()
		return nil, err
	}
	c.client, c.admin = client, kadm.NewClient(client)
	answer, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	if err := client.Ping(answer); err != nil {
		c.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("Kafka at %s does not answer: %w: is it up, and is this its address (--kafka, QUOKKA_KAFKA_BROKERS)?", strings.Join(brokers, ","), err) //nolint:staticcheck // a name
	}
	return c, nil
}

// connect returns a client of its own for a use that needs its own options.
func (c *Client) connect(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.brokers...),
		kgo.ClientID("quokka-operate"),
		kgo.RetryTimeout(answerIn),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100 * time.Millisecond),
	}, opts...)...)
}

// Close ends the connections.
func (c *Client) Close() {
	if c.client != nil {
		c.client.Close()
	}
	if c.decoder != nil {
		c.decoder.serde.Close()
	}
}

// partial reports whether err leaves a part of an answer to work with: some
// brokers answered, others did not.
func partial(err error) bool {
	var shards *kadm.ShardErrors
	return errors.As(err, &shards) && !shards.AllFailed
}

// partition is one of a topic's.
type partition struct {
	topic string
	id    int32
}
