package wire

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
)

// fromKmsgProduce is what kmsg's view of a request is in ours.
func fromKmsgProduce(k *kmsg.ProduceRequest) *ProduceRequest {
	out := &ProduceRequest{TransactionalID: k.TransactionID, Acks: k.Acks, TimeoutMillis: k.TimeoutMillis}
	for _, t := range k.Topics {
		ot := ProduceTopic{Name: t.Topic, ID: t.TopicID}
		for _, p := range t.Partitions {
			ot.Partitions = append(ot.Partitions, ProducePartition{p.Partition, p.Records})
		}
		out.Topics = append(out.Topics, ot)
	}
	return out
}

func fromKmsgFetch(k *kmsg.FetchRequest) *FetchRequest {
	out := &FetchRequest{
		ReplicaID: k.ReplicaID, MaxWaitMillis: k.MaxWaitMillis, MinBytes: k.MinBytes, MaxBytes: k.MaxBytes,
		IsolationLevel: k.IsolationLevel, SessionID: k.SessionID, SessionEpoch: k.SessionEpoch, Rack: k.Rack,
	}
	if k.Version >= 15 {
		out.ReplicaID = k.ReplicaState.ID
	}
	for _, t := range k.Topics {
		ot := FetchTopic{Name: t.Topic, ID: t.TopicID}
		for _, p := range t.Partitions {
			ot.Partitions = append(ot.Partitions, FetchPartition{p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch, p.LogStartOffset, p.PartitionMaxBytes})
		}
		out.Topics = append(out.Topics, ot)
	}
	for _, t := range k.ForgottenTopics {
		out.Forgotten = append(out.Forgotten, ForgottenTopic{t.Topic, t.TopicID, t.Partitions})
	}
	return out
}

// TestParseAgainstKmsg: our decoders read what kmsg's read, of random requests in
// every version that is answered.
func TestParseAgainstKmsg(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		for v := int16(3); v <= 13; v++ {
			body := randomRequest(rng, KeyProduce, v).AppendTo(nil)
			want := kmsg.NewPtrProduceRequest()
			want.SetVersion(v)
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			got, err := ParseProduce(v, body)
			if err != nil {
				t.Fatalf("v%d: %v", v, err)
			}
			if diff := cmp.Diff(fromKmsgProduce(want), got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("produce v%d: %s", v, diff)
			}
		}
		for v := int16(4); v <= 18; v++ {
			body := randomRequest(rng, KeyFetch, v).AppendTo(nil)
			want := kmsg.NewPtrFetchRequest()
			want.SetVersion(v)
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			got, err := ParseFetch(v, body)
			if err != nil {
				t.Fatalf("v%d: %v", v, err)
			}
			if diff := cmp.Diff(fromKmsgFetch(want), got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("fetch v%d: %s", v, diff)
			}
		}
	}
}

// TestResponsesAgainstKmsg: kmsg reads from our responses what we put in.
func TestResponsesAgainstKmsg(t *testing.T) {
	message := "no good"
	produce := &ProduceResponse{ThrottleMillis: 7, Topics: []ProduceTopicResponse{{
		Name: "t", ID: [16]byte{1, 2}, Partitions: []ProducePartitionResponse{
			{Index: 3, BaseOffset: 44, LogAppendTime: 55, LogStartOffset: 6},
			{Index: 4, ErrorCode: 87, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, ErrorMessage: &message,
				RecordErrors: []RecordError{{Index: 9, Message: &message}, {Index: 10}}},
		},
	}, {Name: "empty"}}}
	for v := int16(3); v <= 13; v++ {
		body := produce.AppendTo(nil, v)
		got := kmsg.NewPtrProduceResponse()
		got.SetVersion(v)
		if err := got.ReadFrom(body); err != nil {
			t.Fatalf("v%d: %v", v, err)
		}
		if !bytes.Equal(got.AppendTo(nil), body) {
			t.Errorf("produce v%d: kmsg writes it otherwise", v)
		}
		p := got.Topics[0].Partitions[1]
		if got.ThrottleMillis != 7 || got.Topics[0].Partitions[0].BaseOffset != 44 || p.ErrorCode != 87 {
			t.Errorf("produce v%d: %+v", v, got)
		}
		if v >= 8 && (len(p.ErrorRecords) != 2 || *p.ErrorMessage != message) {
			t.Errorf("produce v%d: record errors are %+v", v, p)
		}
	}
	records := bytes.Repeat([]byte("records"), 1000)
	fetch := &FetchResponse{ThrottleMillis: 7, SessionID: 9, Topics: []FetchTopicResponse{{
		Name: "t", ID: [16]byte{1, 2}, Partitions: []FetchPartitionResponse{
			{Index: 1, HighWatermark: 10, LastStableOffset: 9, LogStartOffset: 2, Records: records, Aborted: []AbortedTransaction{{4, 5}}},
			{Index: 2, HighWatermark: 10, LastStableOffset: 9, LogStartOffset: 2, Records: records[:10], DivergingEpoch: &EpochEnd{3, 8}},
			{Index: 3, ErrorCode: 1, HighWatermark: 10, LastStableOffset: 10, LogStartOffset: 2},
		},
	}}}
	for v := int16(4); v <= 18; v++ {
		var vec Vec
		vec.Append(func(dst []byte) []byte {
			return AppendResponseHeader(dst, &Request{Key: KeyFetch, Version: v, CorrelationID: 77})
		})
		header := vec.Len()
		fetch.AppendTo(&vec, v)
		vec.Finish()
		frame := vec.Bytes()
		if size := NewReader(frame); size.Int32() != int32(len(frame)-4) {
			t.Fatalf("v%d: the frame's size is wrong", v)
		}
		got := kmsg.NewPtrFetchResponse()
		got.SetVersion(v)
		if err := got.ReadFrom(frame[header:]); err != nil {
			t.Fatalf("v%d: %v", v, err)
		}
		p := got.Topics[0].Partitions
		if !bytes.Equal(p[0].RecordBatches, records) || !bytes.Equal(p[1].RecordBatches, records[:10]) || len(p[2].RecordBatches) != 0 {
			t.Errorf("fetch v%d: records differ", v)
		}
		if len(p[0].AbortedTransactions) != 1 || p[0].HighWatermark != 10 || p[2].ErrorCode != 1 {
			t.Errorf("fetch v%d: %+v", v, got)
		}
		if v >= 12 && p[1].DivergingEpoch.EndOffset != 8 {
			t.Errorf("fetch v%d: diverging epoch is %+v", v, p[1].DivergingEpoch)
		}
	}
}

// FuzzProduce and FuzzFetch: what our decoders accept, kmsg reads alike; what
// kmsg refuses, they refuse.
func FuzzProduce(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 8))
	for v := int16(3); v <= 13; v++ {
		f.Add(v, randomRequest(rng, KeyProduce, v).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, v int16, body []byte) {
		if v < 3 || v > 13 {
			return
		}
		var got *ProduceRequest
		var err error
		alloc.Within(t, len(body), func() { got, err = ParseProduce(v, body) })
		if err != nil {
			return
		}
		want := kmsg.NewPtrProduceRequest()
		want.SetVersion(v)
		if err := want.ReadFrom(body); err != nil {
			t.Fatalf("kmsg refuses it: %v", err)
		}
		if diff := cmp.Diff(fromKmsgProduce(want), got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzFetch(f *testing.F) {
	rng := rand.New(rand.NewPCG(9, 10))
	for v := int16(4); v <= 18; v++ {
		f.Add(v, randomRequest(rng, KeyFetch, v).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, v int16, body []byte) {
		if v < 4 || v > 18 {
			return
		}
		var got *FetchRequest
		var err error
		alloc.Within(t, len(body), func() { got, err = ParseFetch(v, body) })
		if err != nil {
			return
		}
		want := kmsg.NewPtrFetchRequest()
		want.SetVersion(v)
		if err := want.ReadFrom(body); err != nil {
			return // kmsg reads the contents of tags that we pass over
		}
		if diff := cmp.Diff(fromKmsgFetch(want), got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(FetchRequest{}, "ReplicaID")); diff != "" {
			t.Fatal(diff)
		}
	})
}
