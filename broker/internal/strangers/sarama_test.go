package strangers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

func saramaConfig() *sarama.Config {
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V3_8_0_0
	cfg.Producer.Return.Successes = true
	cfg.Producer.RequiredAcks = sarama.WaitForAll
	cfg.Producer.Idempotent = true
	cfg.Net.MaxOpenRequests = 1
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Group.Heartbeat.Interval /= 30
	cfg.Consumer.Group.Session.Timeout, cfg.Producer.Timeout, cfg.Net.ReadTimeout = time.Minute, 2*time.Minute, 2*time.Minute
	cfg.Consumer.Group.Rebalance.Retry.Backoff = 50 * time.Millisecond
	cfg.Consumer.MaxWaitTime = 100 * time.Millisecond
	cfg.Metadata.Retry.Backoff = 50 * time.Millisecond
	return cfg
}

// TestSaramaCodecs: an idempotent producer of every codec, and a plain consumer.
func TestSaramaCodecs(t *testing.T) {
	b := brokertest.Start(t)
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		t.Run(codec.String(), func(t *testing.T) {
			cfg := saramaConfig()
			cfg.Producer.Compression = codec
			p, err := sarama.NewSyncProducer([]string{b.Addr()}, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			topic := "sarama-" + codec.String()
			const n = 200
			var batch []*sarama.ProducerMessage
			for i := range n {
				batch = append(batch, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder(fmt.Sprint(i))})
			}
			if err := p.SendMessages(batch); err != nil {
				t.Fatal(err)
			}
			c, err := sarama.NewConsumer([]string{b.Addr()}, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			pc, err := c.ConsumePartition(topic, 0, sarama.OffsetOldest)
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			for i := range n {
				select {
				case m := <-pc.Messages():
					if string(m.Value) != fmt.Sprint(i) || m.Offset != int64(i) {
						t.Fatalf("offset %d has %q, want %d", m.Offset, m.Value, i)
					}
				case err := <-pc.Errors():
					t.Fatal(err)
				case <-soon(t).Done():
					t.Fatal("no more records")
				}
			}
		})
	}
}

// saramaMember counts what the members of a group see.
type saramaMember struct {
	id   int
	mu   *sync.Mutex
	seen map[string]int
	mine map[int]int
}

func (*saramaMember) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m *saramaMember) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for msg := range claim.Messages() {
		m.mu.Lock()
		m.seen[string(msg.Value)]++
		m.mine[m.id]++
		m.mu.Unlock()
		s.MarkMessage(msg, "")
		s.Commit()
	}
	return nil
}

// TestSaramaGroup: two members share six partitions; one leaves.
func TestSaramaGroup(t *testing.T) {
	b := brokertest.Start(t, func(c *brokerConfig) { c.DefaultPartitions = 6 })
	cfg := saramaConfig()
	p, err := sarama.NewSyncProducer([]string{b.Addr()}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sent := 0
	produce := func(n int) {
		for range n {
			if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "shared", Key: sarama.StringEncoder(fmt.Sprint(sent % 30)), Value: sarama.StringEncoder(fmt.Sprint(sent))}); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	produce(60)
	var mu sync.Mutex
	seen, mine := map[string]int{}, map[int]int{}
	member := func(id int) (stop func()) {
		g, err := sarama.NewConsumerGroup([]string{b.Addr()}, "sharers", cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				err := g.Consume(ctx, []string{"shared"}, &saramaMember{id, &mu, seen, mine})
				if err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}()
		return func() { cancel(); <-done; _ = g.Close() }
	}
	figures := func() (all, one, two int) {
		mu.Lock()
		defer mu.Unlock()
		return len(seen), mine[1], mine[2]
	}
	stopOne := member(1)
	eventually(t, func() bool { all, _, _ := figures(); return all == sent })
	stopTwo := member(2)
	defer stopTwo()
	eventually(t, func() bool { produce(6); _, _, two := figures(); return two > 0 })
	stopOne()
	produce(60)
	eventually(t, func() bool { all, _, _ := figures(); return all == sent })
}
