package conformance

import (
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// source makes requests of a fuzzer's bytes: each decides what comes next. Behind the
// last one there are zeros.
type source struct {
	b   []byte
	ids [][16]byte // of topics that exist
}

func (s *source) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *source) pick(n int) int { return int(s.byte()) % n }

// What requests are made of: names and numbers that mean something to the broker, so
// that requests meet, and some that mean nothing.
var (
	fuzzNames = []string{"t", "u", "g", "h", "x", "y", "", "__consumer_offsets", "__transaction_state", "consumer", "range", "uniform",
		"cleanup.policy", "compact", "segment.bytes", "1048576", "User:fuzz", "*", "kafka-cluster", "SCRAM-SHA-256", ".", "no such thing", "\x00\xff"}
	fuzzNumbers = []int64{0, 1, -1, 2, 3, 5, 50, 127, -2, 1000, 1<<15 - 1, -1 << 15, 1<<31 - 1, -1 << 31, 1<<63 - 1, -1 << 63}
)

// fill sets every field of a request.
func (s *source) fill(v reflect.Value, field string) {
	switch v.Kind() {
	case reflect.Pointer:
		if s.pick(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			s.fill(v.Elem(), field)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				s.fill(f, v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(s.bytes(field))
			return
		}
		n := s.pick(4)
		if n == 3 {
			return // null
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			s.fill(v.Index(i), field)
		}
	case reflect.Array:
		if id := s.pick(3); id < len(s.ids) && v.Len() == 16 {
			reflect.Copy(v, reflect.ValueOf(s.ids[id]))
		}
	case reflect.String:
		v.SetString(fuzzNames[s.pick(len(fuzzNames))])
	case reflect.Bool:
		v.SetBool(s.pick(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(fuzzNumbers[s.pick(len(fuzzNumbers))])
	case reflect.Float64:
		v.SetFloat(float64(s.byte()))
	}
}

// bytes is a field of bytes; records are batches, mostly.
func (s *source) bytes(field string) []byte {
	if field != "Records" || s.pick(8) == 0 {
		n := min(s.pick(40), len(s.b))
		out := append([]byte(nil), s.b[:n]...)
		s.b = s.b[n:]
		return out
	}
	o := record.Options{Codec: record.Codec(s.pick(5)), Idempotent: s.pick(2) == 0, Transactional: s.pick(3) == 0}
	if o.Idempotent {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = int64(s.pick(4)), int16(s.pick(3)), int32(s.pick(4))
	}
	b := record.NewBuilder(o)
	for range s.pick(4) + 1 {
		b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Key: []byte{s.byte()}, Value: []byte{s.byte()}})
	}
	return b.Batch()
}

// request makes a request of a key in a version.
func (s *source) request(key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	s.fill(reflect.ValueOf(req).Elem(), "")
	req.SetVersion(version)
	return req
}

// most is how long a request that this file makes may ask to wait.
const most = 40

// tame bounds what a request asks for: waits, so that the fuzzer gets on, and
// partitions. It returns how long the answer may take by the request's own words, and
// whether there is one.
func tame(req kmsg.Request) (stated time.Duration, answered bool) {
	short := func(ms *int32) { *ms = min(max(*ms, -1), most) }
	switch r := req.(type) {
	case *kmsg.FetchRequest:
		short(&r.MaxWaitMillis)
	case *kmsg.ProduceRequest:
		short(&r.TimeoutMillis)
		return most * time.Millisecond, r.Acks != 0
	case *kmsg.JoinGroupRequest:
		short(&r.SessionTimeoutMillis)
		short(&r.RebalanceTimeoutMillis)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		short(&r.RebalanceTimeoutMillis)
	case *kmsg.InitProducerIDRequest:
		short(&r.TransactionTimeoutMillis)
	case *kmsg.CreateTopicsRequest:
		for i := range r.Topics {
			r.Topics[i].NumPartitions = min(r.Topics[i].NumPartitions, 3)
		}
	case *kmsg.CreatePartitionsRequest:
		for i := range r.Topics {
			r.Topics[i].Count = min(r.Topics[i].Count, 5)
		}
	}
	return most * time.Millisecond, true
}
