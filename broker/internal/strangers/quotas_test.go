package strangers

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

// throttles tells when a client is held back, the first time.
type throttles struct {
	once  sync.Once
	first chan struct{}
}

func (t *throttles) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, afterResponse bool) {
	if d > 0 && afterResponse { // held back by the broker as well: KIP-219
		t.once.Do(func() { close(t.first) })
	}
}

// TestFranzQuotas: a producer and a consumer that are held back by a low quota get
// everything across, in its order, once the quota is raised.
func TestFranzQuotas(t *testing.T) {
	b := brokertest.Start(t)
	ctx := soon(t)
	admin := kadm.NewClient(franz(t, b.Addr()))
	user := kadm.ClientQuotaEntity{{Type: "user", Name: kadm.StringPtr("ANONYMOUS")}, {Type: "client-id", Name: kadm.StringPtr("slow")}}
	set := func(rate float64) {
		altered, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: user, Ops: []kadm.AlterClientQuotaOp{
			{Key: "producer_byte_rate", Value: rate}, {Key: "consumer_byte_rate", Value: rate},
		}}})
		if err != nil || len(altered) != 1 || altered[0].Err != nil {
			t.Errorf("%+v, %v", altered, err)
		}
	}
	const low, high = 10_000, 1e9
	set(low)
	described, err := admin.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{
		{Type: "user", MatchName: kadm.StringPtr("ANONYMOUS")}, {Type: "client-id", MatchType: 2},
	})
	if err != nil || len(described) != 1 || len(described[0].Values) != 2 || described[0].Values[0].Value != low {
		t.Fatalf("%+v, %v", described, err)
	}

	// Ten seconds of the quota come at once; what is beyond would take a minute.
	const size, count = 6000, 100
	produced, fetched := throttles{first: make(chan struct{})}, throttles{first: make(chan struct{})}
	// raise raises the quota once the client is held back, and returns what waits for that.
	raise := func(who string, held chan struct{}) (wait func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			select {
			case <-held:
				set(high)
			case <-ctx.Done():
			}
		}()
		return func() {
			select {
			case <-held:
				<-done
			default:
				t.Errorf("the %s was not held back", who)
			}
		}
	}
	p := franz(t, b.Addr(), kgo.ClientID("slow"), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(2*size), kgo.ProducerLinger(0), kgo.WithHooks(&produced))
	raised := raise("producer", produced.first)
	value := make([]byte, size)
	for range count {
		p.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	raised()
	set(low)
	raised = raise("consumer", fetched.first)
	c := franz(t, b.Addr(), kgo.ClientID("slow"), kgo.ConsumeTopics("t"), kgo.FetchMaxBytes(4*size), kgo.FetchMaxPartitionBytes(4*size),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.WithHooks(&fetched))
	next := int64(0)
	for next < count {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next {
				t.Fatalf("offset %d after %d", r.Offset, next-1)
			}
			next++
		})
	}
	raised()
}
