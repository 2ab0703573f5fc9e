package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestCutRequestsOfAnIdempotentProducer: requests that break off anywhere, alone or
// behind others whose answers are lost, are sent again on another connection, while what
// has come of them may still be in work, by partitions in another order. Every record is
// there once, where the answer says, and in order.
func TestCutRequestsOfAnIdempotentProducer(t *testing.T) {
	for i, flush := range []broker.FlushPolicy{broker.FlushGroup, broker.FlushOS} {
		t.Run(string(flush), func(t *testing.T) { cutRequests(t, flush, uint64(i)) })
	}
}

func cutRequests(t *testing.T, flush broker.FlushPolicy, seed uint64) {
	const partitions, rounds, size = 5, 8, 150_000
	rng := rand.New(rand.NewPCG(seed, 1))
	addr := start(t, func(c *broker.Config) { c.Flush = flush }).Addr()
	c := dial(t, addr)
	c.create("t", partitions)
	seq := int32(0)
	request := func(seq int32) *kmsg.ProduceRequest {
		req := produceRequest("t", 0, -1, nil)
		req.SetVersion(9)
		req.Topics[0].Partitions = nil
		for i := range int32(partitions) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = i
			p.Records = batch(idempotent(7, 0, seq), fmt.Sprint(i, "/", seq), string(make([]byte, size)), fmt.Sprint("last ", seq))
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
		}
		return req
	}
	for range rounds {
		var reqs []*kmsg.ProduceRequest
		for range 1 + rng.IntN(4) { // no more than the broker remembers of a producer
			reqs = append(reqs, request(seq))
			seq += 3
		}
		for range rng.IntN(3) {
			var all []byte
			for i, req := range reqs {
				all = kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(all, req, int32(i))
			}
			raw(t, addr, all[:rng.IntN(len(all))]).Close()
			for _, req := range reqs {
				rng.Shuffle(partitions, func(i, j int) {
					p := req.Topics[0].Partitions
					p[i], p[j] = p[j], p[i]
				})
			}
		}
		c = dial(t, addr)
		var ids []int32
		for _, req := range reqs {
			ids = append(ids, c.send(req))
		}
		for i, req := range reqs {
			for _, p := range c.receive(req, ids[i]).(*kmsg.ProduceResponse).Topics[0].Partitions {
				info, err := record.ParseHeader(req.Topics[0].Partitions[0].Records)
				if err != nil {
					t.Fatal(err)
				}
				if p.ErrorCode != 0 || p.BaseOffset != int64(info.BaseSequence) {
					t.Fatalf("partition %d: code %d at offset %d, want 0 at %d", p.Partition, p.ErrorCode, p.BaseOffset, info.BaseSequence)
				}
			}
		}
	}
	for i := range int32(partitions) {
		var want []string
		for s := int32(0); s < seq; s += 3 {
			want = append(want, fmt.Sprint(i, "/", s), string(make([]byte, size)), fmt.Sprint("last ", s))
		}
		if got := values(t, c.readLog("t", i)); !slices.Equal(got, want) {
			t.Errorf("partition %d has %d records, want %d, or others", i, len(got), len(want))
		}
	}
}
