package wire

import "errors"

// FetchRequest is a Fetch request, versions 4 to 18.
type FetchRequest struct {
	ReplicaID      int32
	MaxWaitMillis  int32
	MinBytes       int32
	MaxBytes       int32
	IsolationLevel int8
	SessionID      int32
	SessionEpoch   int32
	Topics         []FetchTopic
	Forgotten      []ForgottenTopic
	Rack           string
}

// FetchTopic names a topic by name up to version 12, by id from 13.
type FetchTopic struct {
	Name       string
	ID         [16]byte
	Partitions []FetchPartition
}

// FetchPartition is where to read a partition from, and how much.
type FetchPartition struct {
	Index              int32
	CurrentLeaderEpoch int32 // -1 when not given
	FetchOffset        int64
	LastFetchedEpoch   int32 // -1 when not given
	LogStartOffset     int64
	MaxBytes           int32
}

// ForgottenTopic lists partitions that leave the fetch session.
type ForgottenTopic struct {
	Name       string
	ID         [16]byte
	Partitions []int32
}

// ParseFetch decodes the body of a Fetch request.
func ParseFetch(version int16, body []byte) (*FetchRequest, error) {
	r, flex := NewReader(body), version >= 12
	req := &FetchRequest{ReplicaID: -1, SessionEpoch: -1}
	if version <= 14 {
		req.ReplicaID = r.Int32()
	}
	req.MaxWaitMillis = r.Int32()
	req.MinBytes = r.Int32()
	req.MaxBytes = r.Int32()
	req.IsolationLevel = r.Int8()
	if version >= 7 {
		req.SessionID = r.Int32()
		req.SessionEpoch = r.Int32()
	}
	minTopic, minPartition, minForgotten := 6, 16, 6
	if flex {
		minTopic, minPartition, minForgotten = 3, 33, 3
	}
	if n := r.ArrayLen(flex, minTopic); n > 0 {
		req.Topics = make([]FetchTopic, 0, min(n, 1024))
		for range n {
			var t FetchTopic
			t.Name, t.ID = r.topic(version, flex)
			if n := r.ArrayLen(flex, minPartition); n > 0 {
				t.Partitions = make([]FetchPartition, 0, min(n, 1024))
				for range n {
					t.Partitions = append(t.Partitions, r.fetchPartition(version, flex))
					if !r.Ok() {
						return nil, r.Err()
					}
				}
			}
			r.SkipTags(flex)
			if !r.Ok() {
				return nil, r.Err()
			}
			req.Topics = append(req.Topics, t)
		}
	}
	if version >= 7 {
		if n := r.ArrayLen(flex, minForgotten); n > 0 {
			req.Forgotten = make([]ForgottenTopic, 0, min(n, 1024))
			for range n {
				var t ForgottenTopic
				t.Name, t.ID = r.topic(version, flex)
				if n := r.ArrayLen(flex, 4); n > 0 {
					t.Partitions = make([]int32, 0, n)
					for range n {
						t.Partitions = append(t.Partitions, r.Int32())
					}
				}
				r.SkipTags(flex)
				if !r.Ok() {
					return nil, r.Err()
				}
				req.Forgotten = append(req.Forgotten, t)
			}
		}
	}
	if version >= 11 {
		req.Rack = r.String(flex)
	}
	if flex {
		err := r.Tags(func(tag uint32, v Reader) error {
			if tag == 1 && version >= 15 { // ReplicaState: a follower names itself
				req.ReplicaID = v.Int32()
				return v.Err()
			}
			return nil
		})
		if err != nil {
			return nil, errors.Join(ErrMalformed, err)
		}
	}
	return req, r.Err()
}

func (r *Reader) topic(version int16, flex bool) (name string, id [16]byte) {
	if version >= 13 {
		return "", r.UUID()
	}
	return r.String(flex), id
}

func (r *Reader) fetchPartition(version int16, flex bool) FetchPartition {
	p := FetchPartition{CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStartOffset: -1}
	p.Index = r.Int32()
	if version >= 9 {
		p.CurrentLeaderEpoch = r.Int32()
	}
	p.FetchOffset = r.Int64()
	if version >= 12 {
		p.LastFetchedEpoch = r.Int32()
	}
	if version >= 5 {
		p.LogStartOffset = r.Int64()
	}
	p.MaxBytes = r.Int32()
	r.SkipTags(flex)
	return p
}

// FetchResponse answers a Fetch request.
type FetchResponse struct {
	ThrottleMillis int32
	ErrorCode      int16
	SessionID      int32
	Topics         []FetchTopicResponse
}

// FetchTopicResponse has the topic's name or id as the request had it.
type FetchTopicResponse struct {
	Name       string
	ID         [16]byte
	Partitions []FetchPartitionResponse
}

// FetchPartitionResponse is what one partition had.
type FetchPartitionResponse struct {
	Index            int32
	ErrorCode        int16
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	// Aborted is nil where the reader does not ask what is committed.
	Aborted []AbortedTransaction
	// DivergingEpoch is set when the fetcher's log left ours: the end of the
	// largest epoch that both may share. Nil otherwise.
	DivergingEpoch *EpochEnd
	// Records is attached to the response, not copied. Where File has a length it has
	// the records instead.
	Records []byte
	File    FilePart
}

// Size is how many bytes of records there are.
func (p *FetchPartitionResponse) Size() int { return len(p.Records) + int(p.File.Len) }

// AbortedTransaction tells a read_committed consumer what to leave out.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// EpochEnd is the offset at which a leader epoch ended.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// AppendTo encodes the response body.
func (f *FetchResponse) AppendTo(v *Vec, version int16) {
	flex := version >= 12
	dst := v.cur
	dst = appendInt32(dst, f.ThrottleMillis)
	if version >= 7 {
		dst = appendInt16(dst, f.ErrorCode)
		dst = appendInt32(dst, f.SessionID)
	}
	dst = appendArrayLen(dst, flex, len(f.Topics))
	for i := range f.Topics {
		t := &f.Topics[i]
		if version >= 13 {
			dst = append(dst, t.ID[:]...)
		} else {
			dst = appendString(dst, flex, t.Name)
		}
		dst = appendArrayLen(dst, flex, len(t.Partitions))
		for j := range t.Partitions {
			p := &t.Partitions[j]
			dst = p.appendFixed(dst, version, flex)
			v.cur = appendBytesLen(dst, flex, p.Size())
			if p.File.Len > 0 {
				v.AttachFile(p.File)
			} else {
				v.Attach(p.Records)
			}
			dst = v.cur
			if flex {
				dst = p.appendTags(dst)
			}
		}
		if flex {
			dst = append(dst, 0)
		}
	}
	if flex {
		dst = append(dst, 0)
	}
	v.cur = dst
}

func (p *FetchPartitionResponse) appendFixed(dst []byte, version int16, flex bool) []byte {
	dst = appendInt32(dst, p.Index)
	dst = appendInt16(dst, p.ErrorCode)
	dst = appendInt64(dst, p.HighWatermark)
	dst = appendInt64(dst, p.LastStableOffset)
	if version >= 5 {
		dst = appendInt64(dst, p.LogStartOffset)
	}
	if p.Aborted == nil {
		dst = appendArrayLen(dst, flex, -1)
	} else {
		dst = appendArrayLen(dst, flex, len(p.Aborted))
	}
	for _, a := range p.Aborted {
		dst = appendInt64(dst, a.ProducerID)
		dst = appendInt64(dst, a.FirstOffset)
		if flex {
			dst = append(dst, 0)
		}
	}
	if version >= 11 {
		dst = appendInt32(dst, -1) // preferred read replica: none
	}
	return dst
}

func (p *FetchPartitionResponse) appendTags(dst []byte) []byte {
	if p.DivergingEpoch == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1, 0, 13) // one tag, tag 0, 4 + 8 + 1 bytes
	dst = appendInt32(dst, p.DivergingEpoch.Epoch)
	dst = appendInt64(dst, p.DivergingEpoch.EndOffset)
	return append(dst, 0)
}
