package diff

import (
	"encoding/binary"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// The scenarios of produce, fetch and list offsets.

func produceVersions(s *session) {
	id := s.create("t", 1)
	for _, v := range s.versions(kmsg.Produce) {
		if v < 3 {
			continue // advertised only
		}
		req := produceRequest(s.n("t"), 0, s.batch(record.Options{}, "x"))
		req.Topics[0].TopicID = id
		ask[*kmsg.ProduceResponse](s, "one record", v, req)
		req.Topics[0].Partitions[0].Partition = 7
		ask[*kmsg.ProduceResponse](s, "no such partition", v, req)
		req.Topics[0].Topic, req.Topics[0].TopicID = s.n("none"), [16]byte{1}
		if v < 13 {
			continue
		}
		ask[*kmsg.ProduceResponse](s, "no such topic", v, req)
	}
	s.silent("acks 0", 9, edited(produceRequest(s.n("t"), 0, s.batch(record.Options{}, "x")), func(r *kmsg.ProduceRequest) { r.Acks = 0 }))
	s.silent("acks 0, no such partition", 9, edited(produceRequest(s.n("t"), 9, s.batch(record.Options{}, "x")), func(r *kmsg.ProduceRequest) { r.Acks = 0 }))
	for _, acks := range []int16{1, 2, -2} {
		ask[*kmsg.ProduceResponse](s, "acks", 9, edited(produceRequest(s.n("t"), 0, s.batch(record.Options{}, "x")), func(r *kmsg.ProduceRequest) { r.Acks = acks }))
	}
	two := produceRequest(s.n("t"), 0, s.batch(record.Options{}, "x"))
	two.Topics[0].Partitions = append(two.Topics[0].Partitions, two.Topics[0].Partitions[0])
	ask[*kmsg.ProduceResponse](s, "one partition twice", 9, two)
	s.fetch("what is there", "t", 0)
}

func edited[T any](req T, edit func(T)) T {
	edit(req)
	return req
}

// sign writes the CRC of a batch that was changed.
func sign(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], castagnoli(b[21:]))
	return b
}

func produceRefused(s *session) {
	s.create("t", 1)
	s.create("compacted", 1, "cleanup.policy", "compact")
	s.create("stamped", 1, "message.timestamp.type", "LogAppendTime")
	s.create("small", 1, "max.message.bytes", "200")
	s.create("strict", 1, "message.timestamp.before.max.ms", "1000")
	for _, c := range []struct {
		name, topic string
		records     []byte
	}{
		{"empty bytes", "t", []byte{}},
		{"a cut batch", "t", s.batch(record.Options{}, "x")[:50]},
		{"a wrong CRC", "t", edited(s.batch(record.Options{}, "x"), func(b []byte) { b[17]++ })},
		{"magic 1", "t", edited(s.batch(record.Options{}, "x"), func(b []byte) { b[16] = 1 })},
		{"magic 3", "t", edited(s.batch(record.Options{}, "x"), func(b []byte) { b[16] = 3 })},
		{"two batches", "t", append(s.batch(record.Options{}, "x"), s.batch(record.Options{}, "y")...)},
		{"a control batch", "t", s.batch(record.Options{Control: true}, "x")},
		{"a base offset", "t", s.batch(record.Options{BaseOffset: 5}, "x")},
		{"a count too high", "t", sign(edited(s.batch(record.Options{}, "x"), func(b []byte) { b[60]++ }))},
		{"a last offset too high", "t", sign(edited(s.batch(record.Options{}, "x"), func(b []byte) { b[26]++ }))},
		{"no records", "t", sign(s.batch(record.Options{}))},
		{"an unknown codec", "t", sign(edited(s.batch(record.Options{}, "x"), func(b []byte) { b[22] |= 7 }))},
		{"garbage instead of gzip", "t", sign(edited(s.batch(record.Options{}, "x"), func(b []byte) { b[22] |= 1 }))},
		{"a leader epoch", "t", s.batch(record.Options{LeaderEpoch: 9}, "x")},
		{"too large", "small", s.batch(record.Options{}, strings.Repeat("x", 300))},
		{"just fits", "small", s.batch(record.Options{}, strings.Repeat("x", 100))},
		{"too old", "strict", s.batch(record.Options{}, "x")},
		{"stamped by the server", "stamped", s.batch(record.Options{}, "x", "y")},
		{"claims to be stamped", "stamped", sign(edited(s.batch(record.Options{}, "x"), func(b []byte) { b[22] |= 8 }))},
		{"claims to be stamped elsewhere", "t", sign(edited(s.batch(record.Options{}, "x"), func(b []byte) { b[22] |= 8 }))},
		{"transactional without an id", "t", s.batch(record.Options{Transactional: true, Idempotent: true, ProducerID: 5}, "x")},
		{"a producer without an epoch", "t", s.batch(record.Options{Idempotent: true, ProducerID: 1 << 40, ProducerEpoch: -1}, "x")},
		{"a producer with sequence -1", "t", s.batch(record.Options{Idempotent: true, ProducerID: 1 << 40, BaseSequence: -1}, "x")},
	} {
		s.produce(c.name, c.topic, c.records)
	}
	b := record.NewBuilder(record.Options{})
	b.Add(record.Record{Timestamp: s.at(0), Value: []byte("no key")})
	b.Add(record.Record{Timestamp: s.at(0), Key: []byte("k"), Value: []byte("key")})
	s.produce("no key on a compacted topic", "compacted", b.Batch())
	for v := int16(3); v <= 9; v += 5 {
		ask[*kmsg.ProduceResponse](s, "the same, older", v, produceRequest(s.n("compacted"), 0, b.Batch()))
	}
	s.produce("a key on a compacted topic", "compacted", s.batch(record.Options{}, "x"))
	future := record.NewBuilder(record.Options{})
	future.Add(record.Record{Timestamp: s.at(3 * 3600 * 1000), Key: []byte("k"), Value: []byte("v")})
	s.produce("an hour too early", "t", future.Batch())
	for _, t := range []string{"t", "compacted", "stamped", "small"} {
		s.fetch("what is in "+t, t, 0)
	}
	internal := produceRequest("__consumer_offsets", 0, s.batch(record.Options{}, "x"))
	ask[*kmsg.ProduceResponse](s, "to an internal topic", 9, internal)
}

func codecs(s *session) {
	for codec := record.None; codec <= record.Zstd; codec++ {
		for _, policy := range []string{"producer", "gzip", "uncompressed", "zstd"} {
			name := codec.String() + "-" + policy
			s.create(name, 1, "compression.type", policy)
			s.produce("", name, s.batch(record.Options{Codec: codec}, "x", strings.Repeat("y", 100)))
			s.fetch("", name, 0)
		}
	}
	ask[*kmsg.FetchResponse](s, "a topic of zstd to an old consumer", 9, fetchRequest(s.n("none-zstd"), 0))
	s.create("old", 1)
	ask[*kmsg.ProduceResponse](s, "zstd in an old request", 6, produceRequest(s.n("old"), 0, s.batch(record.Options{Codec: record.Zstd}, "x")))
	s.produce("zstd", "old", s.batch(record.Options{Codec: record.Zstd}, "x"))
	ask[*kmsg.FetchResponse](s, "zstd to an old consumer", 9, fetchRequest(s.n("old"), 0))
}

// idempotence: duplicates, gaps, epochs, wrapping sequences, unknown producers.
func idempotence(s *session) {
	s.create("t", 1)
	init := ask[*kmsg.InitProducerIDResponse](s, "a producer", 4, kmsg.NewPtrInitProducerIDRequest())
	one := func(label string, epoch int16, seq int32, values ...string) {
		s.produce(label, "t", s.batch(record.Options{Idempotent: true, ProducerID: init.ProducerID, ProducerEpoch: epoch, BaseSequence: seq}, values...))
	}
	one("first", 0, 0, "a", "b")
	one("duplicate", 0, 0, "a", "b")
	one("part of a duplicate", 0, 0, "a")
	one("second", 0, 2, "c")
	one("gap", 0, 4, "e")
	for i := range int32(6) {
		one("more", 0, 3+i, "x")
	}
	one("a duplicate of the last five", 0, 4, "x")
	one("a duplicate older than that", 0, 3, "x")
	one("next epoch, wrong sequence", 1, 9, "y")
	one("next epoch", 1, 0, "y")
	one("epoch before", 0, 9, "z")
	one("jump of epochs", 5, 0, "y")
	other := ask[*kmsg.InitProducerIDResponse](s, "another producer", 4, kmsg.NewPtrInitProducerIDRequest())
	second := func(label string, seq int32, values ...string) {
		s.produce(label, "t", s.batch(record.Options{Idempotent: true, ProducerID: other.ProducerID, BaseSequence: seq}, values...))
	}
	second("begins anywhere", 1<<31-2, "p", "q", "r")
	second("wraps", 1, "s")
	second("gap after it", 3, "s")
	s.fetch("all", "t", 0)
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: s.n("t"), Partitions: []int32{0, 3}}}
	ask[*kmsg.DescribeProducersResponse](s, "the producers", 0, req)
}

func fetching(s *session) {
	id := s.create("t", 2)
	for range 3 {
		s.produce("three", "t", s.batch(record.Options{}, "a", "b", "c"))
	}
	for _, v := range s.versions(kmsg.Fetch) {
		req := fetchRequest(s.n("t"), 4)
		req.Topics[0].TopicID = id
		ask[*kmsg.FetchResponse](s, "inside a batch", v, req)
	}
	for _, offset := range []int64{-1, 9, 10, 1 << 40} {
		s.fetch("at an edge", "t", offset)
	}
	s.fetch("one byte", "t", 0, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = 1 })
	s.fetch("one byte in all", "t", 0, func(r *kmsg.FetchRequest) { r.MaxBytes = 1 })
	s.fetch("no byte", "t", 0, func(r *kmsg.FetchRequest) { r.MaxBytes = 0; r.Topics[0].Partitions[0].PartitionMaxBytes = 0 })
	s.fetch("unknown partition", "t", 0, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].Partition = 5 })
	s.fetch("unknown topic", "none", 0)
	s.fetch("a later leader epoch", "t", 0, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 1 << 20 })
	s.fetch("a last fetched epoch", "t", 9, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 1 << 20 })
	s.fetch("a replica's", "t", 0, func(r *kmsg.FetchRequest) { r.ReplicaID = 77 })
	s.fetch("nothing", "t", 0, func(r *kmsg.FetchRequest) { r.Topics = nil })
	s.fetch("waits, then is empty", "t", 9, func(r *kmsg.FetchRequest) { r.MaxWaitMillis, r.MinBytes = 50, 1 })
	s.fetch("an error does not wait", "t", 99, func(r *kmsg.FetchRequest) { r.MaxWaitMillis, r.MinBytes = 25000, 1<<20 })
	unknown := fetchRequest("", 0)
	unknown.Topics[0].TopicID = [16]byte{1, 2}
	ask[*kmsg.FetchResponse](s, "an unknown id", 13, unknown)
	wait := begin[*kmsg.FetchResponse](s, s.dial(), "woken by a record", 12, edited(fetchRequest(s.n("t"), 9), func(r *kmsg.FetchRequest) { r.MaxWaitMillis, r.MinBytes = 200_000, 1 }))
	s.produce("the record", "t", s.batch(record.Options{}, "late"))
	wait.end()

	del := kmsg.NewPtrDeleteRecordsRequest()
	del.TimeoutMillis = 5000
	for _, offset := range []int64{4, 100, -1, 2} {
		del.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: s.n("t"), Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: offset}}}}
		ask[*kmsg.DeleteRecordsResponse](s, "delete records", 2, del)
	}
	s.fetch("before the log", "t", 3)
	ask[*kmsg.ListOffsetsResponse](s, "its start", 7, listOffsetsRequest(s.n("t"), -2))
}

func fetchSessions(s *session) {
	a := s.create("a", 1)
	s.create("b", 1)
	s.produce("", "a", s.batch(record.Options{}, "a0"))
	s.produce("", "b", s.batch(record.Options{}, "b0"))
	both := func(session, epoch int32, offsets ...int64) *kmsg.FetchRequest {
		req := fetchRequest(s.n("a"), 0)
		req.SessionID, req.SessionEpoch, req.Topics = session, epoch, nil
		for i, o := range offsets {
			if o >= 0 {
				req.Topics = append(req.Topics, fetchRequest(s.n([]string{"a", "b"}[i]), o).Topics...)
			}
		}
		return req
	}
	first := ask[*kmsg.FetchResponse](s, "make", 12, both(0, 0, 0, 0))
	ask[*kmsg.FetchResponse](s, "go on, one moved", 12, both(first.SessionID, 1, 1))
	ask[*kmsg.FetchResponse](s, "go on, both at the end", 12, both(first.SessionID, 2, -1, 1))
	ask[*kmsg.FetchResponse](s, "nothing new", 12, both(first.SessionID, 3))
	s.produce("", "b", s.batch(record.Options{}, "b1"))
	ask[*kmsg.FetchResponse](s, "something new", 12, both(first.SessionID, 4))
	ask[*kmsg.FetchResponse](s, "wrong epoch", 12, both(first.SessionID, 9))
	ask[*kmsg.FetchResponse](s, "wrong session", 12, both(first.SessionID+77, 1))
	ask[*kmsg.FetchResponse](s, "out of range stays said", 12, both(first.SessionID, 5, 99))
	ask[*kmsg.FetchResponse](s, "out of range stays said", 12, both(first.SessionID, 6))
	forget := both(first.SessionID, 7)
	forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: s.n("a"), Partitions: []int32{0}}}
	ask[*kmsg.FetchResponse](s, "forget", 12, forget)
	ask[*kmsg.FetchResponse](s, "close", 12, both(first.SessionID, -1, 1))
	ask[*kmsg.FetchResponse](s, "it is closed", 12, both(first.SessionID, 8))

	byID := fetchRequest(s.n("a"), 0)
	byID.SessionEpoch, byID.Topics[0].TopicID = 0, a
	named := ask[*kmsg.FetchResponse](s, "make, by id", 13, byID)
	s.delete("a")
	s.create("a", 1)
	byID.Topics, byID.SessionID, byID.SessionEpoch = nil, named.SessionID, 1
	ask[*kmsg.FetchResponse](s, "the topic was made anew", 13, byID)
	ask[*kmsg.FetchResponse](s, "names in a session by id", 12, both(named.SessionID, 2))
}

func listingOffsets(s *session) {
	s.create("t", 1)
	for _, v := range s.versions(kmsg.ListOffsets) {
		for _, ts := range []int64{-1, -2, -3} {
			ask[*kmsg.ListOffsetsResponse](s, "empty", v, listOffsetsRequest(s.n("t"), ts))
		}
	}
	s.produce("", "t", s.batch(record.Options{}, "a", "b", "c"))
	b := record.NewBuilder(record.Options{Codec: record.Gzip})
	for _, ms := range []int64{500, 100, 900, 300} {
		b.Add(record.Record{Timestamp: s.at(ms), Key: []byte("k"), Value: []byte("v")})
	}
	s.produce("", "t", b.Batch())
	s.produce("", "t", s.batch(record.Options{}, "d"))
	for _, v := range s.versions(kmsg.ListOffsets) {
		for _, ts := range []int64{-1, -2, -3, -4, -5, -6, -7, s.at(-5000), s.at(1), s.at(2), s.at(3), s.at(200), s.at(501), s.at(900), s.at(901), 0} {
			ask[*kmsg.ListOffsetsResponse](s, "at "+s.r.time(ts), v, listOffsetsRequest(s.n("t"), ts))
		}
	}
	for i, times := range [][]int64{{10}, {10, 47, 47}, {47, 3}, {47}} {
		again := record.NewBuilder(record.Options{Codec: record.Codec(i % 2)})
		for _, ms := range times {
			again.Add(record.Record{Timestamp: s.at(1000 + ms), Key: []byte("k"), Value: []byte("v")})
		}
		s.produce("", "t", again.Batch())
		ask[*kmsg.ListOffsetsResponse](s, "the latest time, more than once", 7, listOffsetsRequest(s.n("t"), -3))
	}
	v := s.last(kmsg.ListOffsets)
	ask[*kmsg.ListOffsetsResponse](s, "unknown", v, listOffsetsRequest(s.n("none"), -1))
	epoch := listOffsetsRequest(s.n("t"), -1)
	epoch.Topics[0].Partitions[0].CurrentLeaderEpoch = 1 << 20
	ask[*kmsg.ListOffsetsResponse](s, "a later epoch", v, epoch)
	twice := listOffsetsRequest(s.n("t"), -1)
	twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
	ask[*kmsg.ListOffsetsResponse](s, "a partition twice", v, twice)

	for _, v := range s.versions(kmsg.OffsetForLeaderEpoch) {
		for _, e := range []int32{-1, 0, 1, 1 << 20} {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.ReplicaID = -1
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = s.n("t")
			for i := range int32(2) {
				p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = i, -1, e
				t.Partitions = append(t.Partitions, p)
			}
			req.Topics = append(req.Topics, t)
			ask[*kmsg.OffsetForLeaderEpochResponse](s, "epoch ends", v, req)
		}
	}
}
