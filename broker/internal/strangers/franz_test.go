package strangers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

func franz(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation(), kgo.MetadataMinAge(50 * time.Millisecond), kgo.FetchMaxWait(200 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestFranzCodecs: records of every codec come back as they were sent.
func TestFranzCodecs(t *testing.T) {
	b := brokertest.Start(t)
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := soon(t)
			topic := "codec-" + name
			p := franz(t, b.Addr(), kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(topic))
			const n = 1000
			for i := range n {
				p.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, i%7), Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
			if err := p.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			c := franz(t, b.Addr(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			next := 0
			for next < n {
				fetches := c.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				fetches.EachRecord(func(r *kgo.Record) {
					if r.Offset != int64(next) || string(r.Value) != fmt.Sprint(next) {
						t.Fatalf("offset %d has %q, want %d", r.Offset, r.Value, next)
					}
					next++
				})
			}
		})
	}
}

// TestFranzGroup: two members share a topic; when one leaves, the other goes on
// where it stopped; every record is seen, in the order of its key. In the classic
// protocol, in the consumer protocol, and one member each.
func TestFranzGroup(t *testing.T) {
	modern := []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}
	for name, protocols := range map[string][2][]kgo.Opt{
		"classic": {}, "consumer": {modern, modern}, "upgrade": {nil, modern}, "downgrade": {modern, nil},
	} {
		t.Run(name, func(t *testing.T) { franzGroup(t, protocols) })
	}
}

func franzGroup(t *testing.T, protocols [2][]kgo.Opt) {
	b := brokertest.Start(t, func(c *brokerConfig) {
		c.DefaultPartitions, c.GroupConsumerHeartbeatInterval = 6, 50*time.Millisecond
	})
	ctx := soon(t)
	const topic, n = "shared", 3000
	p := franz(t, b.Addr(), kgo.DefaultProduceTopic(topic))

	var mu sync.Mutex
	last := map[string]int{}
	seen := map[int]int{}
	perMember := map[int]int{}
	member := func(id int) (stop func()) {
		c := franz(t, b.Addr(), append([]kgo.Opt{kgo.ConsumerGroup("sharers"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll(), kgo.HeartbeatInterval(100 * time.Millisecond)}, protocols[id-1]...)...)
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				fetches := c.PollRecords(ctx, 100)
				mu.Lock()
				fetches.EachRecord(func(r *kgo.Record) {
					var i int
					fmt.Sscan(string(r.Value), &i)
					seen[i]++
					perMember[id]++
					if before, ok := last[string(r.Key)]; ok && seen[i] == 1 && i < before {
						t.Errorf("key %s: %d after %d", r.Key, i, before)
					}
					last[string(r.Key)] = i
				})
				mu.Unlock()
				if err := c.CommitUncommittedOffsets(context.WithoutCancel(ctx)); err != nil {
					t.Errorf("commit: %v", err)
				}
				c.AllowRebalance()
			}
			c.Close()
		}()
		return func() { cancel(); <-done }
	}
	count := func() (all, one, two int) {
		mu.Lock()
		defer mu.Unlock()
		return len(seen), perMember[1], perMember[2]
	}
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			p.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, i%50), Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	produce(0, n/3)
	stopOne := member(1)
	eventually(t, func() bool { _, one, _ := count(); return one > 0 })
	stopTwo := member(2)
	defer stopTwo()
	for i := n / 3; ; i++ { // until both have had some
		produce(i, i+1)
		if _, _, two := count(); two > 0 || i == n/2 {
			produce(i+1, 2*n/3)
			break
		}
		time.Sleep(time.Millisecond)
	}
	eventually(t, func() bool { all, _, two := count(); return all == 2*n/3 && two > 0 })
	stopOne()
	produce(2*n/3, n)
	eventually(t, func() bool { all, _, _ := count(); return all == n })
	mu.Lock()
	defer mu.Unlock()
	for i, times := range seen {
		if times > 1 {
			t.Errorf("record %d was seen %d times although every rebalance waited for its commit", i, times)
		}
	}
}
