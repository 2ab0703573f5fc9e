package wire

import "fmt"

// maxProduceParts bounds the topics and partitions that one Produce request names: what
// is kept for each until it is answered is many times the few bytes that naming it takes.
const maxProduceParts = 100_000

// ErrProduceParts is the ErrMalformed of a Produce request that names more.
var ErrProduceParts = fmt.Errorf("%w: more than %d topics and partitions in a Produce request", ErrMalformed, maxProduceParts)

// produceParts is how many more of them a request may name.
type produceParts int

// take takes in an array of n of them.
func (p *produceParts) take(n int) error {
	if *p -= produceParts(max(0, n)); *p < 0 {
		return ErrProduceParts
	}
	return nil
}

// ProduceRequest is a Produce request, versions 3 to 13. Records alias the frame.
type ProduceRequest struct {
	TransactionalID *string
	Acks            int16
	TimeoutMillis   int32
	Topics          []ProduceTopic
}

// ProduceTopic names a topic by name up to version 12, by id from 13.
type ProduceTopic struct {
	Name       string
	ID         [16]byte
	Partitions []ProducePartition
}

// ProducePartition is what one partition is to append.
type ProducePartition struct {
	Index   int32
	Records []byte
}

// ParseProduce decodes the body of a Produce request.
func ParseProduce(version int16, body []byte) (*ProduceRequest, error) {
	r, flex := NewReader(body), version >= 9
	req := &ProduceRequest{}
	req.TransactionalID = r.NullableString(flex)
	req.Acks = r.Int16()
	req.TimeoutMillis = r.Int32()
	minTopic, minPartition := 6, 8
	if flex {
		minTopic, minPartition = 3, 6
	}
	left := produceParts(maxProduceParts)
	if n := r.ArrayLen(flex, minTopic); n > 0 {
		if err := left.take(n); err != nil {
			return nil, err
		}
		req.Topics = make([]ProduceTopic, 0, min(n, 1024))
		for range n {
			var t ProduceTopic
			if version >= 13 {
				t.ID = r.UUID()
			} else {
				t.Name = r.String(flex)
			}
			if n := r.ArrayLen(flex, minPartition); n > 0 {
				if err := left.take(n); err != nil {
					return nil, err
				}
				t.Partitions = make([]ProducePartition, 0, min(n, 1024))
				for range n {
					p := ProducePartition{Index: r.Int32(), Records: r.NullableBytes(flex)}
					r.SkipTags(flex)
					if !r.Ok() {
						return nil, r.Err()
					}
					t.Partitions = append(t.Partitions, p)
				}
			}
			r.SkipTags(flex)
			if !r.Ok() {
				return nil, r.Err()
			}
			req.Topics = append(req.Topics, t)
		}
	}
	r.SkipTags(flex)
	return req, r.Err()
}

// ProduceResponse answers a Produce request; its topics are in the request's order.
type ProduceResponse struct {
	Topics         []ProduceTopicResponse
	ThrottleMillis int32
}

// ProduceTopicResponse has the topic's name or id as the request had it.
type ProduceTopicResponse struct {
	Name       string
	ID         [16]byte
	Partitions []ProducePartitionResponse
}

// ProducePartitionResponse is the outcome for one partition.
type ProducePartitionResponse struct {
	Index          int32
	ErrorCode      int16
	BaseOffset     int64
	LogAppendTime  int64 // -1 unless the topic uses log append time
	LogStartOffset int64
	RecordErrors   []RecordError
	ErrorMessage   *string
}

// RecordError says what is wrong with one record of a batch.
type RecordError struct {
	Index   int32
	Message *string
}

// AppendTo encodes the response body.
func (p *ProduceResponse) AppendTo(dst []byte, version int16) []byte {
	flex := version >= 9
	dst = appendArrayLen(dst, flex, len(p.Topics))
	for i := range p.Topics {
		t := &p.Topics[i]
		if version >= 13 {
			dst = append(dst, t.ID[:]...)
		} else {
			dst = appendString(dst, flex, t.Name)
		}
		dst = appendArrayLen(dst, flex, len(t.Partitions))
		for j := range t.Partitions {
			dst = t.Partitions[j].appendTo(dst, version, flex)
		}
		if flex {
			dst = append(dst, 0)
		}
	}
	dst = appendInt32(dst, p.ThrottleMillis)
	if flex {
		dst = append(dst, 0)
	}
	return dst
}

func (p *ProducePartitionResponse) appendTo(dst []byte, version int16, flex bool) []byte {
	dst = appendInt32(dst, p.Index)
	dst = appendInt16(dst, p.ErrorCode)
	dst = appendInt64(dst, p.BaseOffset)
	dst = appendInt64(dst, p.LogAppendTime)
	if version >= 5 {
		dst = appendInt64(dst, p.LogStartOffset)
	}
	if version >= 8 {
		dst = appendArrayLen(dst, flex, len(p.RecordErrors))
		for _, e := range p.RecordErrors {
			dst = appendInt32(dst, e.Index)
			dst = appendNullableString(dst, flex, e.Message)
			if flex {
				dst = append(dst, 0)
			}
		}
		dst = appendNullableString(dst, flex, p.ErrorMessage)
	}
	if flex {
		dst = append(dst, 0)
	}
	return dst
}
