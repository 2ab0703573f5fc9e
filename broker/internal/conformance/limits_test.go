package conformance

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// hits waits until a limit has been reached by its metric.
func hits(t testing.TB, b *brokertest.Broker, limit string) {
	t.Helper()
	metric(t, b, hitsOf(limit))
}

func hitsOf(limit string) string { return `quokka_broker_limit_hits_total{limit="` + limit + `"}` }

// TestLimits: what is over a limit is refused by Kafka's code for it, and counted;
// what is within is not.
func TestLimits(t *testing.T) {
	b := start(t, func(c *broker.Config) {
		c.MaxPartitions, c.MaxTopicPartitions = 130, 20
		c.GroupMaxSize, c.GroupConsumerMaxSize = 2, 2
		c.MaxFetchBytes = 100_000
		c.Settings = map[string]string{"max.incremental.fetch.session.cache.slots": "1", "offset.metadata.max.bytes": "100"}
	})
	c := dial(t, b.Addr())
	id := c.create("t", 3)
	create := func(name string, partitions int32) int16 {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}}
		return ask[*kmsg.CreateTopicsResponse](c, 7, req).Topics[0].ErrorCode
	}
	grow := func(name string, count int32) int16 {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: name, Count: count}}
		return ask[*kmsg.CreatePartitionsResponse](c, 3, req).Topics[0].ErrorCode
	}
	expect(t, "too many partitions", create("large", 21), 37)
	expect(t, "growing to too many", grow("t", 21), 37)
	hits(t, b, "topic_partitions")
	expect(t, "a name that is too long", create(strings.Repeat("n", 250), 1), 17)
	expect(t, "the longest name", create(strings.Repeat("n", 249), 1), 0)
	hits(t, b, "topic_name")

	c.join("size", "connect") // makes the offsets topic's 50 partitions
	for _, name := range []string{"a", "b", "c"} {
		expect(t, "within the bound", create(name, 20), 0)
	}
	expect(t, "more than the broker may have", create("d", 20), 44)
	expect(t, "growing to more", grow("t", 20), 44)
	hits(t, b, "partitions")

	join := func(group string, version int16, size int) int16 {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, "connect", 60_000, 60_000
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "any", Metadata: make([]byte, size)}}
		return ask[*kmsg.JoinGroupResponse](dial(t, b.Addr()), version, req).ErrorCode
	}
	expect(t, "a second member, which is told its id", join("size", 4, 10), 79)
	expect(t, "a third member", join("size", 4, 10), 81)
	hits(t, b, "group_size")
	expect(t, "half of what a group may be", join("metadata", 3, 600_000), 0)
	expect(t, "another half", join("metadata", 3, 600_000), 10)
	hits(t, b, "group_metadata")

	commit := func(group string, metadata int) int16 {
		req := commitRequest(group, "", -1, "t", id, 1, strings.Repeat("m", metadata))
		return ask[*kmsg.OffsetCommitResponse](c, 9, req).Topics[0].Partitions[0].ErrorCode
	}
	expect(t, "a long note", commit("offsets", 101), 12)
	expect(t, "the longest note", commit("offsets", 100), 0)
	hits(t, b, "offset_metadata")
	expect(t, "a group with a long name", commit(strings.Repeat("g", 32<<10-1), 0), 0)
	hb := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	hb.Group = strings.Repeat("g", 32<<10)
	expect(t, "a name that is too long", ask[*kmsg.ConsumerGroupHeartbeatResponse](c, 1, hb).ErrorCode, 42)
	hits(t, b, "group_id")

	expect(t, "a long transaction", (&producer{conn: c, id: "x"}).init(16*time.Minute), 50)
	hits(t, b, "txn_timeout")

	req := kmsg.NewPtrFetchRequest()
	req.MinBytes, req.MaxBytes, req.SessionEpoch = 1, 1<<30, -1
	req.Topics = []kmsg.FetchRequestTopic{{Topic: "t"}}
	for i := range int32(3) {
		p := ask[*kmsg.ProduceResponse](c, 9, produceRequest("t", i, -1, batch(record.Options{}, string(make([]byte, 60_000)))))
		expect(t, "produce", p.Topics[0].Partitions[0].ErrorCode, 0)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, kmsg.FetchRequestTopicPartition{Partition: i, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, PartitionMaxBytes: 1 << 30})
	}
	size := 0
	for _, p := range ask[*kmsg.FetchResponse](c, 11, req).Topics[0].Partitions {
		size += len(p.RecordBatches)
	}
	if size < 60_000 || size > 100_000 {
		t.Errorf("an answer has %d bytes of records", size)
	}
	hits(t, b, "fetch_bytes")
	expect(t, "a batch that is too large", c.produce("t", batch(record.Options{}, string(make([]byte, 1<<20)))).ErrorCode, 10)
	hits(t, b, "batch_bytes")

	for i := range 2 {
		req.SessionEpoch = 0
		if resp := ask[*kmsg.FetchResponse](dial(t, b.Addr()), 11, req); (resp.SessionID != 0) != (i == 0) || len(resp.Topics) != 1 {
			t.Errorf("session %d: id %d", i, resp.SessionID)
		}
	}
	hits(t, b, "fetch_sessions")
	metric(t, b, "kafka_server_fetch_session_cache_num_incremental_fetch_sessions")
}

// TestDecompressedLimit: a small batch that decompresses to a lot is refused where
// its records are looked at, and costs no such memory; one below the bound is taken.
func TestDecompressedLimit(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("compacted", 1, "cleanup.policy", "compact")
	c.create("anew", 1, "compression.type", "lz4")
	bomb := func(mib int) []byte {
		builder := record.NewBuilder(record.Options{Codec: record.Zstd})
		for range mib {
			builder.Add(record.Record{Timestamp: time.Now().UnixMilli(), Key: []byte("k"), Value: make([]byte, 1<<20)})
		}
		return builder.Batch()
	}
	in := bomb(65)
	for _, topic := range []string{"compacted", "anew"} {
		expect(t, topic, c.produce(topic, slices.Clone(in)).ErrorCode, 10)
	}
	hits(t, b, "decompressed")
	expect(t, "below the bound", c.produce("compacted", bomb(60)).ErrorCode, 0)
}

// TestDecodeMemory: requests wait for the memory to be decoded in, and are answered;
// none is refused, no connection closed.
func TestDecodeMemory(t *testing.T) {
	check := &checker{wait: make(chan struct{})}
	b := start(t, func(c *broker.Config) {
		c.Settings = map[string]string{"quokka.decode.memory.bytes": "1"}
		c.RecordCheck = check
	})
	var conns []*conn
	var ids []int32
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(7)
	const each = 20
	for i := range 4 {
		c := dial(t, b.Addr())
		conns = append(conns, c)
		for n := range each {
			req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "t" + strconv.Itoa(i*each+n), NumPartitions: 1, ReplicationFactor: 1}}
			ids = append(ids, c.send(req))
		}
	}
	for i, c := range conns {
		for n := range each {
			resp := c.receive(req, ids[i*each+n]).(*kmsg.CreateTopicsResponse)
			expect(t, "create", resp.Topics[0].ErrorCode, 0)
		}
	}
	hits(t, b, "decode_memory")

	// What is looked at record by record has memory of its own.
	produce := func(c *conn, value string) (*kmsg.ProduceRequest, int32) {
		p := produceRequest("t0", 0, -1, batch(record.Options{Codec: record.Gzip}, value))
		p.SetVersion(9)
		return p, c.send(p)
	}
	first, firstID := produce(conns[0], "wait")
	for deadline := time.Now().Add(2 * time.Minute); !slices.Contains(check.all(), "t0-0/0 wait"); {
		if time.Now().After(deadline) {
			t.Fatal("the first check has not begun")
		}
	}
	second, secondID := produce(conns[1], "good")
	hits(t, b, "check_memory")
	expect(t, "another request", metadata(conns[2], 9, false, "t0").Topics[0].ErrorCode, 0)
	close(check.wait)
	expect(t, "the first", conns[0].receive(first, firstID).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, 0)
	expect(t, "the second", conns[1].receive(second, secondID).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, 0)
}

// TestRepetition: what a request names many times it is told once, so that a small
// request has no large answer.
func TestRepetition(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 100)
	a := aim{topic: "t", group: "g", transaction: "x"}
	for _, key := range []int16{3, 9, 15, 32, 61, 65, 69} {
		one := a.request(key, kmsg.RequestForKey(key).MaxVersion())
		single := len(c.receive(one, c.send(one)).AppendTo(nil))
		many := a.request(key, kmsg.RequestForKey(key).MaxVersion())
		switch r := many.(type) {
		case *kmsg.MetadataRequest:
			r.Topics = slices.Repeat(r.Topics, 1000)
		case *kmsg.OffsetFetchRequest:
			r.Groups = slices.Repeat(r.Groups, 1000)
		case *kmsg.DescribeGroupsRequest:
			r.Groups = slices.Repeat(r.Groups, 1000)
		case *kmsg.DescribeConfigsRequest:
			r.Resources = slices.Repeat(r.Resources, 1000)
		case *kmsg.DescribeProducersRequest:
			r.Topics[0].Partitions = slices.Repeat(r.Topics[0].Partitions, 1000)
		case *kmsg.DescribeTransactionsRequest:
			r.TransactionalIDs = slices.Repeat(r.TransactionalIDs, 1000)
		case *kmsg.ConsumerGroupDescribeRequest:
			r.Groups = slices.Repeat(r.Groups, 1000)
		}
		if got := len(c.receive(many, c.send(many)).AppendTo(nil)); got != single {
			t.Errorf("%s: %d bytes for one, %d for a thousand times the same", kmsg.NameForKey(key), single, got)
		}
	}
}

// TestTagsLimit: a request with too many tagged fields in one place, in a body that
// is read by hand or by kmsg, ends its connection.
func TestTagsLimit(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(kmsg.Tags) kmsg.Request
	}{
		{"Fetch", func(tags kmsg.Tags) kmsg.Request {
			req := kmsg.NewPtrFetchRequest()
			req.Version, req.UnknownTags = 12, tags
			return req
		}},
		{"ListGroups", func(tags kmsg.Tags) kmsg.Request {
			req := kmsg.NewPtrListGroupsRequest()
			req.Version, req.UnknownTags = 4, tags
			return req
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t)
			tags := func(n uint32) (out kmsg.Tags) {
				for i := range n {
					out.Set(1000+i, nil)
				}
				return out
			}
			conn := dial(t, b.Addr())
			within := c.make(tags(64))
			conn.receive(within, conn.send(within))
			conn.send(c.make(tags(65)))
			conn.closed()
			hits(t, b, "tags")
		})
	}
}

// TestProducePartsLimit: a Produce request that names very many partitions, of which each
// takes a few bytes, ends its connection, whether it is read as a whole or in parts.
func TestProducePartsLimit(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1)
	for name, transaction := range map[string]*string{"in parts": nil, "as a whole": new(string)} {
		req := produceRequest("t", 0, -1, nil)
		req.Version, req.TransactionID = 9, transaction
		req.Topics[0].Partitions = slices.Repeat(req.Topics[0].Partitions, 99_999) // and the topic
		if got := len(c.receive(req, c.send(req)).(*kmsg.ProduceResponse).Topics[0].Partitions); got != 99_999 {
			t.Errorf("%s: answered for %d partitions", name, got)
		}
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
		// The end of the connection may come while it is still writing.
		over := raw(t, b.Addr(), kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 1))
		if n, err := over.Read(make([]byte, 64)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d bytes came back, or the connection stays open: %v", name, n, err)
		}
	}
	hits(t, b, "produce_parts")
}

// TestFailedLoginDelay: the answer to a failed authentication waits for as long as
// connection.failed.authentication.delay.ms says; and is counted.
func TestFailedLoginDelay(t *testing.T) {
	const delay = 300 * time.Millisecond // the default is 100 ms
	b := start(t, secured, func(c *broker.Config) {
		c.Settings = map[string]string{"connection.failed.authentication.delay.ms": strconv.FormatInt(delay.Milliseconds(), 10)}
	})
	c := dial(t, b.Addr())
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = "PLAIN"
	ask[*kmsg.SASLHandshakeResponse](c, 1, handshake)
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	authenticate.SASLAuthBytes = []byte("\x00alice\x00land")
	began := time.Now()
	expect(t, "a wrong password", ask[*kmsg.SASLAuthenticateResponse](c, 2, authenticate).ErrorCode, 58)
	if took := time.Since(began); took < delay {
		t.Errorf("it is answered after %v", took)
	}
	hits(t, b, "failed_login")
}

// TestLoginFrameSetting: the bound of what may come before a login is a setting.
func TestLoginFrameSetting(t *testing.T) {
	b := start(t, secured, func(c *broker.Config) {
		c.Settings = map[string]string{"sasl.server.max.receive.size": "2048"}
	})
	c := dial(t, b.Addr())
	req := apiVersions(3)
	req.ClientSoftwareName = string(bytes.Repeat([]byte("n"), 1900))
	if resp := ask[*kmsg.ApiVersionsResponse](c, 3, req); resp.ErrorCode != 0 {
		t.Errorf("below the bound: code %d", resp.ErrorCode)
	}
	req.ClientSoftwareName = string(bytes.Repeat([]byte("n"), 2100))
	c.send(req)
	c.closed()
	hits(t, b, "login_frame")
}

// TestParkedJoin: a join that waits for its group is in the metrics while it waits.
func TestParkedJoin(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.GroupInitialRebalanceDelay = time.Minute })
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 3, "g", "connect", 60_000, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "any"}}
	dial(t, b.Addr()).send(req)
	metric(t, b, `kafka_server_delayed_operation_purgatory_size{delayed_operation="Rebalance"}`)
}

// TestProduceMemory: large requests whose beginning has come take no more memory than there
// is for them, but for one; small ones go by; and all are answered, also when those go on
// first that wait.
func TestProduceMemory(t *testing.T) {
	const limit, clients = 1 << 20, 12
	for name, size := range map[string]int{"in parts": 900_000, "as a whole": 400_000} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(c *broker.Config) {
				c.Settings = map[string]string{
					"quokka.produce.memory.bytes": strconv.Itoa(limit),
					"quokka.write.timeout.ms":     "600000", // one that others wait for is silent until told
				}
			})
			c := dial(t, b.Addr())
			c.create("t", 1)
			req := produceRequest("t", 0, -1, batch(record.Options{}, string(make([]byte, size))))
			req.SetVersion(9)
			whole := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 1)
			var conns []*conn
			var goOn []chan struct{}
			for range clients {
				conn, wait := dial(t, b.Addr()), make(chan struct{})
				conns, goOn = append(conns, conn), append(goOn, wait)
				go func() {
					_, err := conn.nc.Write(whole[:len(whole)*3/4]) // not read as a whole, perhaps
					<-wait
					if err == nil {
						_, err = conn.nc.Write(whole[len(whole)*3/4:])
					}
					if err != nil {
						t.Error(err)
					}
				}()
			}
			hits(t, b, "produce_memory")
			expect(t, "a small one meanwhile", c.produce("t", batch(record.Options{}, "small")).ErrorCode, 0)
			if used, err := strconv.ParseFloat(sample(t, b, "quokka_broker_produce_memory_bytes"), 64); err != nil || used < limit/2 || used > 3*limit {
				t.Errorf("%v bytes are claimed, %v", used, err)
			}
			for i := range clients {
				close(goOn[clients-1-i])
			}
			for _, conn := range conns {
				expect(t, "a large one", conn.receive(req, 1).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, 0)
			}
			if used := sample(t, b, "quokka_broker_produce_memory_bytes"); used != "0" {
				t.Errorf("%s bytes are claimed in the end", used)
			}
		})
	}
}
