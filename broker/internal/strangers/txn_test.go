package strangers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

// readCommitted returns the values that a read_committed consumer sees, up to the
// last stable offset.
func readCommitted(t *testing.T, addr, topic string, n int) (out []string) {
	t.Helper()
	c := franz(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx := soon(t)
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %q: %v", out, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { out = append(out, string(r.Value)) })
	}
	return out
}

// TestFranzTransactions: transactions of version 2, committed and aborted in turn.
func TestFranzTransactions(t *testing.T) {
	b := brokertest.Start(t)
	ctx := soon(t)
	p := franz(t, b.Addr(), kgo.TransactionalID("franz"), kgo.DefaultProduceTopic("t"))
	var want []string
	for i := range 20 {
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			v := fmt.Sprintf("%d-%d", i, j)
			if err := p.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if i%3 != 0 {
				want = append(want, v)
			}
		}
		if err := p.EndTransaction(ctx, kgo.TransactionEndTry(i%3 != 0)); err != nil {
			t.Fatal(err)
		}
	}
	if got := readCommitted(t, b.Addr(), "t", len(want)); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	b.Restart()
	if got := readCommitted(t, b.Addr(), "t", len(want)); !slices.Equal(got, want) {
		t.Errorf("after a restart: read %q, want %q", got, want)
	}
}

// TestSaramaTransactions: transactions of version 1, with offsets in them.
func TestSaramaTransactions(t *testing.T) {
	b := brokertest.Start(t)
	cfg := saramaConfig()
	cfg.Producer.Transaction.ID = "sarama"
	cfg.Producer.Return.Errors = true
	p, err := sarama.NewAsyncProducer([]string{b.Addr()}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var want []string
	for i := range 10 {
		if err := p.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			v := fmt.Sprintf("%d-%d", i, j)
			p.Input() <- &sarama.ProducerMessage{Topic: "t", Value: sarama.StringEncoder(v)}
			select {
			case <-p.Successes():
			case err := <-p.Errors():
				t.Fatal(err)
			}
			if i%3 != 0 {
				want = append(want, v)
			}
		}
		offsets := map[string][]*sarama.PartitionOffsetMetadata{"t": {{Partition: 0, Offset: int64(100 + i)}}}
		if err := p.AddOffsetsToTxn(offsets, "g"); err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			err = p.CommitTxn()
		} else {
			err = p.AbortTxn()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := readCommitted(t, b.Addr(), "t", len(want)); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	admin, err := sarama.NewClusterAdmin([]string{b.Addr()}, saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for range 2 {
		r, err := admin.ListConsumerGroupOffsets("g", map[string][]int32{"t": {0}})
		if err != nil {
			t.Fatal(err)
		}
		// 9 was aborted, 8 is the last that counts.
		if got := r.GetBlock("t", 0); got == nil || got.Offset != 108 {
			t.Errorf("the committed offset is %+v, want 108", got)
		}
		b.Restart()
	}
}
