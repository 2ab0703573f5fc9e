package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// largeRequest is a Produce request of over a megabyte, that the broker does in parts:
// to each of ten partitions of "t" a batch with a large record and some small ones, then
// edit's changes.
func largeRequest(version, acks int16, id [16]byte, edit func(*kmsg.ProduceRequestTopic)) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(version)
	req.Acks, req.TimeoutMillis = acks, 300_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = "t", id
	for i := range int32(10) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition = i
		p.Records = batch(record.Options{}, string(make([]byte, 120_000)), fmt.Sprint("small ", i), "another")
		t.Partitions = append(t.Partitions, p)
	}
	if edit != nil {
		edit(&t)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// stored fails unless each partition of "t" comes to have so many times the records of
// largeRequest, whole and nothing else.
func stored(c *conn, id [16]byte, times func(partition int32) int) {
	c.t.Helper()
	for i := range int32(10) {
		var want []string
		for range times(i) {
			want = append(want, string(make([]byte, 120_000)), fmt.Sprint("small ", i), "another")
		}
		req := fetchRequest("t", 0)
		req.Topics[0].TopicID, req.Topics[0].Partitions[0].Partition = id, i
		req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 8<<20, 8<<20
		req.MinBytes = int32(120_000 * times(i))
		req.MaxWaitMillis = 120_000
		p := ask[*kmsg.FetchResponse](c, 13, req).Topics[0].Partitions[0]
		if got := values(c.t, p.RecordBatches); !slices.Equal(got, want) {
			c.t.Errorf("partition %d has %d records, want %d, or others", i, len(got), len(want))
		}
	}
}

// TestProduceInParts: a large request is answered like any other, in every version and
// under every policy, also when the next is there already.
func TestProduceInParts(t *testing.T) {
	for _, flush := range []broker.FlushPolicy{broker.FlushGroup, broker.FlushOS} {
		t.Run(string(flush), func(t *testing.T) {
			c := dial(t, start(t, func(cfg *broker.Config) { cfg.Flush = flush }).Addr())
			id := c.create("t", 10)
			n := 0
			for version := int16(3); version <= 13; version += 5 {
				first, second := largeRequest(version, -1, id, nil), largeRequest(version, 1, id, nil)
				last := kmsg.NewPtrMetadataRequest()
				last.SetVersion(9)
				unanswered := largeRequest(version, 0, id, nil)
				ids := []int32{c.send(first), c.send(second)}
				c.send(unanswered)
				ids = append(ids, c.send(last))
				for i, req := range []kmsg.Request{first, second} {
					resp := c.receive(req, ids[i]).(*kmsg.ProduceResponse)
					if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 10 {
						t.Fatalf("v%d: the answer is %+v", version, resp)
					}
					for j, p := range resp.Topics[0].Partitions {
						if p.Partition != int32(j) || p.ErrorCode != 0 || p.BaseOffset != int64(3*(n+i)) {
							t.Fatalf("v%d: %+v", version, p)
						}
					}
				}
				c.receive(last, ids[2])
				n += 3
			}
			stored(c, id, func(int32) int { return n })
		})
	}
}

// TestPartsAreRefusedAlone: what is wrong with one partition's batch is said of it, and
// the others are taken.
func TestPartsAreRefusedAlone(t *testing.T) {
	c := dial(t, start(t).Addr())
	id := c.create("t", 10)
	want := map[int32]int16{2: 2, 4: 53, 5: 87, 6: 3, 7: 87, 8: 87}
	req := largeRequest(12, -1, id, func(t *kmsg.ProduceRequestTopic) {
		p := t.Partitions
		p[2].Records[len(p[2].Records)-1]++
		p[4].Records = batch(record.Options{Idempotent: true, Transactional: true}, "x")
		p[5].Records = append(p[5].Records, batch(record.Options{}, "y")...)
		p[6].Partition = 77
		p[7].Records = nil
		p[8].Records = p[8].Records[:70]
	})
	other := kmsg.NewProduceRequestTopic()
	other.Topic, other.Partitions = "missing", req.Topics[0].Partitions[:2]
	req.Topics = append(req.Topics, other)
	resp := ask[*kmsg.ProduceResponse](c, 12, req)
	for i, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != want[int32(i)] || (p.BaseOffset == -1) != (p.ErrorCode != 0) {
			t.Errorf("partition %d: code %d at offset %d, want %d", i, p.ErrorCode, p.BaseOffset, want[int32(i)])
		}
	}
	if p := resp.Topics[1].Partitions; len(p) != 2 || p[0].ErrorCode != 3 || p[1].ErrorCode != 3 {
		t.Errorf("of the topic that is not there: %+v", p)
	}
	for _, p := range ask[*kmsg.ProduceResponse](c, 12, largeRequest(12, 2, id, nil)).Topics[0].Partitions {
		if p.ErrorCode != 21 {
			t.Errorf("impossible acks: code %d", p.ErrorCode)
		}
	}
	stored(c, id, func(i int32) int {
		if want[i] != 0 {
			return 0
		}
		return 1
	})
	// Without acks, the end of the connection has to say it.
	unanswered := largeRequest(12, 0, id, func(t *kmsg.ProduceRequestTopic) { t.Partitions[9].Partition = 77 })
	c.send(unanswered)
	c.closed()
}

// TestPartsOfARequestThatBreaksOff: what has come whole may be there, nothing else is,
// and the partitions go on.
func TestPartsOfARequestThatBreaksOff(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 10)
	all := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, largeRequest(12, -1, id, nil), 1)
	raw(t, b.Addr(), all[:len(all)/2]).Close()
	stored(c, id, func(i int32) int {
		if i < 4 { // the fifth batch is cut
			return 1
		}
		return 0
	})
	for _, p := range ask[*kmsg.ProduceResponse](c, 12, largeRequest(12, -1, id, nil)).Topics[0].Partitions {
		if p.ErrorCode != 0 {
			t.Errorf("%+v", p)
		}
	}
	stored(c, id, func(i int32) int {
		if i < 4 {
			return 2
		}
		return 1
	})
}
