package strangers

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

// throttles counts how often a client was held back.
type throttles struct{ n atomic.Int64 }

func (t *throttles) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, afterResponse bool) {
	if d > 0 && afterResponse { // held back by the broker as well: KIP-219
		t.n.Add(1)
	}
}

// TestFranzQuotas: a producer and a consumer that are held back get everything across,
// in its order, and no more of it than their quotas allow.
func TestFranzQuotas(t *testing.T) {
	b := brokertest.Start(t)
	ctx := soon(t)
	admin := kadm.NewClient(franz(t, b.Addr()))
	rate := 50_000.0
	user := kadm.ClientQuotaEntity{{Type: "user", Name: kadm.StringPtr("ANONYMOUS")}, {Type: "client-id", Name: kadm.StringPtr("slow")}}
	altered, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: user, Ops: []kadm.AlterClientQuotaOp{
		{Key: "producer_byte_rate", Value: rate}, {Key: "consumer_byte_rate", Value: rate},
	}}})
	if err != nil || len(altered) != 1 || altered[0].Err != nil {
		t.Fatalf("%+v, %v", altered, err)
	}
	described, err := admin.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{
		{Type: "user", MatchName: kadm.StringPtr("ANONYMOUS")}, {Type: "client-id", MatchType: 2},
	})
	if err != nil || len(described) != 1 || len(described[0].Values) != 2 || described[0].Values[0].Value != rate {
		t.Fatalf("%+v, %v", described, err)
	}

	// Ten seconds of the quota may come at once; what is beyond takes its time.
	const size, count = 6000, 100
	over := size*count/rate - 10
	var produced, fetched throttles
	p := franz(t, b.Addr(), kgo.ClientID("slow"), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(2*size), kgo.ProducerLinger(0), kgo.WithHooks(&produced))
	began := time.Now()
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
	took := time.Since(began)
	if produced.n.Load() == 0 || took.Seconds() < over*0.8 {
		t.Errorf("%d bytes were produced in %v, held back %d times", size*count, took, produced.n.Load())
	}
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
	if fetched.n.Load() == 0 {
		t.Error("the consumer was not held back")
	}
}
