package diff

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

func pointer[T any](v T) *T { return &v }

// create makes a topic, returns its id once every partition of it serves.
func (s *session) create(name string, partitions int32, configs ...string) [16]byte {
	s.t.Helper()
	resp := silently(s, 7, createRequest(s.n(name), partitions, configs...), func(*kmsg.CreateTopicsResponse) bool { return true })
	if code := resp.Topics[0].ErrorCode; code != 0 {
		s.t.Fatalf("%s could not be created: code %d", name, code)
	}
	s.await(name, partitions)
	return resp.Topics[0].TopicID
}

func createRequest(name string, partitions int32, configs ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, c)
	}
	req.Topics, req.TimeoutMillis = append(req.Topics, t), 5000
	return req
}

// await returns once every partition of a topic serves.
func (s *session) await(name string, partitions int32) {
	s.t.Helper()
	ends := kmsg.NewPtrListOffsetsRequest()
	ends.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = s.n(name)
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = i, -1, -1
		t.Partitions = append(t.Partitions, p)
	}
	ends.Topics = append(ends.Topics, t)
	silently(s, 7, ends, func(r *kmsg.ListOffsetsResponse) bool {
		return !slices.ContainsFunc(r.Topics[0].Partitions, func(p kmsg.ListOffsetsResponseTopicPartition) bool { return p.ErrorCode != 0 })
	})
}

// delete deletes a topic and returns once nobody knows it any more.
func (s *session) delete(name string) {
	s.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.TimeoutMillis = []string{s.n(name)}, 5000
	silently(s, 4, req, func(*kmsg.DeleteTopicsResponse) bool { return true })
	silently(s, 12, metadataRequest(s.n(name)), func(r *kmsg.MetadataResponse) bool { return r.Topics[0].ErrorCode == 3 })
}

func metadataRequest(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = pointer(name)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// batch builds a batch of key=value records, a millisecond apart from the
// scenario's beginning on.
func (s *session) batch(o record.Options, values ...string) []byte {
	b := record.NewBuilder(o)
	for i, v := range values {
		b.Add(record.Record{Timestamp: s.at(int64(i)), Key: []byte("k"), Value: []byte(v)})
	}
	return b.Batch()
}

func produceRequest(topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 300_000 // no machine is so slow that it shows
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// produce appends a batch to partition 0 of a topic.
func (s *session) produce(label, topic string, records []byte) *kmsg.ProduceResponse {
	s.t.Helper()
	return ask[*kmsg.ProduceResponse](s, label, 11, produceRequest(s.n(topic), 0, records))
}

func fetchRequest(topic string, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = offset, 1<<20, -1, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// fetch reads partition 0 of a topic.
func (s *session) fetch(label, topic string, offset int64, edit ...func(*kmsg.FetchRequest)) *kmsg.FetchResponse {
	s.t.Helper()
	req := fetchRequest(s.n(topic), offset)
	for _, e := range edit {
		e(req)
	}
	return ask[*kmsg.FetchResponse](s, label, 12, req)
}

func committed(r *kmsg.FetchRequest) { r.IsolationLevel = 1 }

func listOffsetsRequest(topic string, timestamps ...int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	for _, ts := range timestamps {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp, p.CurrentLeaderEpoch = ts, -1
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	return req
}
