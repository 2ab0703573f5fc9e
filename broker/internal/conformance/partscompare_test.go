package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// compared are the topics of a comparison, with their settings; "missing" is one that is
// not there, "denied" one that its user may not write to.
var compared = []struct {
	name    string
	configs []string
}{
	{name: "plain"},
	{"small", []string{"max.message.bytes", "100000"}},
	{"compacted", []string{"cleanup.policy", "compact"}},
	{"stamped", []string{"message.timestamp.type", "LogAppendTime"}},
	{"packed", []string{"compression.type", "lz4"}},
	{name: "denied"},
	{name: "__consumer_offsets"},
	{name: "missing"},
}

const comparedParts = 3

// generated makes Produce requests of all sorts, most of them large.
type generated struct {
	rng  *rand.Rand
	seqs map[string]int32 // of one idempotent producer, by partition
	now  int64            // its records' time
}

func (g *generated) request(version int16) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(version)
	req.Acks, req.TimeoutMillis = []int16{-1, -1, -1, 1, 1, 2}[g.rng.IntN(6)], 300_000
	g.tags(&req.UnknownTags)
	for range 1 + g.rng.IntN(4) {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = compared[g.rng.IntN(len(compared))].name
		if g.rng.IntN(2) == 0 {
			t.Topic = "plain"
		}
		g.tags(&t.UnknownTags)
		for range g.rng.IntN(6) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = int32(g.rng.IntN(comparedParts))
			if g.rng.IntN(15) == 0 {
				p.Partition = []int32{-1, comparedParts, 1 << 30}[g.rng.IntN(3)]
			}
			p.Records = g.records(fmt.Sprint(t.Topic, p.Partition))
			g.tags(&p.UnknownTags)
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

func (g *generated) tags(t *kmsg.Tags) {
	for range max(0, g.rng.IntN(8)-5) {
		t.Set(100+g.rng.Uint32N(100), make([]byte, g.rng.IntN(300)))
	}
}

// records are one partition's: mostly good, sometimes of no use.
func (g *generated) records(partition string) []byte {
	var o record.Options
	if g.rng.IntN(3) == 0 {
		seq := g.seqs[partition]
		switch g.rng.IntN(8) {
		case 0:
			seq += 7 // a gap
		case 1:
			seq -= 3 // what was sent before
		default:
			g.seqs[partition] += 3
		}
		o = idempotent(7, 0, max(seq, 0))
	}
	o.Codec = []record.Codec{record.None, record.None, record.None, record.Zstd, record.LZ4, record.Gzip}[g.rng.IntN(6)]
	large := make([]byte, g.rng.IntN(400_000))
	for i := 0; i < len(large); i += 8 {
		large[i] = byte(g.rng.Uint32())
	}
	b := record.NewBuilder(o)
	for i, v := range [][]byte{large, []byte("second"), []byte("third")} {
		r := record.Record{Timestamp: g.now + int64(i), Key: []byte{byte('a' + i)}, Value: v}
		if g.rng.IntN(40) == 0 {
			r.Key = nil
		}
		b.Add(r)
	}
	out := b.Batch()
	switch g.rng.IntN(30) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return out[:g.rng.IntN(len(out))]
	case 3:
		out[g.rng.IntN(len(out))]++
	case 4:
		return append(out, batch(record.Options{}, "more")...)
	}
	return out
}

// write sends b in pieces, and lets the broker run between them.
func (g *generated) write(nc net.Conn, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), 1+g.rng.IntN([]int{20, 5000, 1 << 20}[g.rng.IntN(3)]))
		if _, err := nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		runtime.Gosched()
	}
	return nil
}

// TestPartsAgainstWhole: the same requests go to a broker that does them in parts and to
// one that reads them as a whole, as it traces them. Answers and what is stored are the
// same, byte for byte where no clock is in it, however the bytes arrive. Batches that are
// marked as transactional are left out: those the two refuse otherwise.
func TestPartsAgainstWhole(t *testing.T) {
	for i, flush := range []broker.FlushPolicy{broker.FlushGroup, broker.FlushOS} {
		t.Run(string(flush), func(t *testing.T) { comparePaths(t, flush, uint64(i)) })
	}
}

func comparePaths(t *testing.T, flush broker.FlushPolicy, seed uint64) {
	g := &generated{rng: rand.New(rand.NewPCG(seed, 1)), seqs: map[string]int32{}, now: time.Now().UnixMilli()}
	var both, roots []*conn
	ids := map[[16]byte]string{}
	idOf := []map[string][16]byte{{}, {}}
	for i, trace := range []func(broker.ProduceTrace){nil, func(broker.ProduceTrace) {}} {
		addr := start(t, secured, func(c *broker.Config) { c.Flush, c.Trace = flush, trace }).Addr()
		root := loggedIn(t, addr, "admin", "secret")
		rules := kmsg.NewPtrCreateACLsRequest()
		for _, topic := range compared {
			if topic.name != "denied" {
				rules.Creations = append(rules.Creations, kmsg.CreateACLsRequestCreation{
					ResourceType: 2, ResourceName: topic.name, ResourcePatternType: 3, Principal: "User:alice", Host: "*", Operation: 2, PermissionType: 3,
				})
			}
			if topic.name != "missing" && topic.name != "__consumer_offsets" {
				id := root.create(topic.name, comparedParts, topic.configs...)
				idOf[i][topic.name], ids[id] = id, topic.name
			}
		}
		ask[*kmsg.CreateACLsResponse](root, 3, rules)
		roots = append(roots, root)
		both = append(both, loggedIn(t, addr, "alice", "wonder"))
	}
	large, seen := 0, map[int16]int{}
	for range 25 {
		req := g.request(int16(3 + g.rng.IntN(11)))
		var answers [2]*kmsg.ProduceResponse
		for i, c := range both {
			for j := range req.Topics {
				req.Topics[j].TopicID = idOf[i][req.Topics[j].Topic]
			}
			c.next++
			b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, c.next)
			if len(b) >= 512<<10 && i == 0 {
				large++
			}
			if err := g.write(c.nc, b); err != nil {
				t.Fatal(err)
			}
			answers[i] = c.receive(req, c.next).(*kmsg.ProduceResponse)
			for j := range answers[i].Topics {
				out := &answers[i].Topics[j]
				if out.TopicID != ([16]byte{}) {
					out.Topic, out.TopicID = ids[out.TopicID], [16]byte{}
				}
				for k := range out.Partitions {
					p := &out.Partitions[k]
					if p.LogAppendTime > 0 {
						p.LogAppendTime = 1
					}
					if i == 0 {
						seen[p.ErrorCode]++
					}
				}
			}
		}
		if diff := cmp.Diff(answers[1], answers[0], cmpopts.IgnoreTypes(kmsg.Tags{})); diff != "" {
			t.Fatalf("v%d, acks %d: as a whole (-), in parts (+): %s", req.Version, req.Acks, diff)
		}
	}
	if large < 5 || len(seen) < 4 {
		t.Errorf("%d requests were large, batches by code %v: that compares little", large, seen)
	}
	records := 0
	for _, topic := range compared {
		for p := range int32(comparedParts) {
			var logs [2][]byte
			for i, c := range roots {
				if _, there := idOf[i][topic.name]; there {
					logs[i] = c.readLog(topic.name, p)
				}
			}
			records += len(values(t, logs[0]))
			if topic.name == "stamped" {
				a, b := values(t, logs[0]), values(t, logs[1])
				if !cmp.Equal(a, b) {
					t.Errorf("%s-%d has %d records in parts, %d as a whole, or others", topic.name, p, len(a), len(b))
				}
				continue
			}
			if !bytes.Equal(logs[0], logs[1]) {
				t.Errorf("%s-%d: %d bytes in parts, %d as a whole, or others", topic.name, p, len(logs[0]), len(logs[1]))
			}
		}
	}
	t.Logf("%d large requests, batches by code %v, %d records stored", large, seen, records)
}

// readLog returns all batches of a partition. It waits until everything that is in the
// log can be read.
func (c *conn) readLog(topic string, partition int32) (batches []byte) {
	c.t.Helper()
	last := listOffset(c, 7, -1, func(r *kmsg.ListOffsetsRequest) {
		r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition = topic, partition
	}).Offset
	for offset := int64(0); offset < last; {
		req := fetchRequest(topic, offset)
		req.Topics[0].Partitions[0].Partition = partition
		req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 8<<20, 8<<20
		p := ask[*kmsg.FetchResponse](c, 12, req).Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			c.t.Fatalf("reading %s-%d from %d: code %d", topic, partition, offset, p.ErrorCode)
		}
		record.Each(p.RecordBatches, func(b []byte) bool {
			info, err := record.ParseHeader(b)
			if err != nil {
				c.t.Fatal(err)
			}
			offset = info.NextOffset()
			return true
		})
		batches = append(batches, p.RecordBatches...)
	}
	return batches
}
