// Package null is a Kafka-protocol server that keeps nothing: it receives what
// is produced and acknowledges it, and hands out the same batch for ever. What a
// client reaches with it is what client, protocol and loopback allow; a broker's
// share is what it stays behind.
//
// It serves what franz-go's producer and its consumer without a group ask for,
// in old versions of Produce and Fetch whose frames are cheap to read and write.
package null

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The versions served.
const (
	maxProduce = 8
	maxFetch   = 11
)

var versions = map[kmsg.Key][2]int16{
	kmsg.Produce: {3, maxProduce}, kmsg.Fetch: {4, maxFetch}, kmsg.ListOffsets: {1, 4}, kmsg.Metadata: {1, 8},
	kmsg.ApiVersions: {0, 2}, kmsg.CreateTopics: {0, 4}, kmsg.InitProducerID: {0, 1},
}

// Server is one null broker.
type Server struct {
	l    net.Listener
	host string
	port int32

	mu     sync.Mutex
	topics map[string]int32
	// batch is the largest batch that was produced last: what fetches get.
	batch   []byte
	records int64
}

// Serve serves on l until it is closed.
func Serve(l net.Listener) error {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return err
	}
	s := &Server{l: l, host: host, port: int32(number), topics: map[string]int32{}}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = s.serve(c) // a client that leaves is no error
		}()
	}
}

// serve answers one connection's requests in order.
func (s *Server) serve(c net.Conn) error {
	in := bufio.NewReaderSize(c, 64<<10)
	var size [4]byte
	var frame, out []byte
	for {
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		if n < 10 || n > 100<<20 {
			return fmt.Errorf("a frame of %d bytes", n)
		}
		if cap(frame) < n {
			frame = make([]byte, n)
		}
		frame = frame[:n]
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		r := kbin.Reader{Src: frame}
		key, version, id := kmsg.Key(r.Int16()), r.Int16(), r.Int32()
		r.NullableString() // client id
		out = binary.BigEndian.AppendUint32(out[:0], 0)
		out = binary.BigEndian.AppendUint32(out, uint32(id))
		var err error
		var batches net.Buffers
		if key == kmsg.Fetch {
			out, batches, err = s.fetch(out, r.Src, version)
		} else {
			out, err = s.answer(out, key, version, r.Src)
		}
		if err != nil {
			return err
		}
		if batches == nil {
			batches = net.Buffers{out}
		}
		total := 0
		for _, b := range batches {
			total += len(b)
		}
		binary.BigEndian.PutUint32(out, uint32(total-4))
		_, err = batches.WriteTo(c)
		if err != nil {
			return err
		}
	}
}

// answer appends the response to every request but Fetch.
func (s *Server) answer(out []byte, key kmsg.Key, version int16, body []byte) ([]byte, error) {
	if key == kmsg.ApiVersions {
		return s.apiVersions(version).AppendTo(out), nil
	}
	served, ok := versions[key]
	if !ok || version > served[1] {
		return nil, fmt.Errorf("%s version %d is not served", key.Name(), version)
	}
	if key == kmsg.Produce {
		return s.produce(out, version, body)
	}
	req := kmsg.RequestForKey(key.Int16())
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return nil, err
	}
	resp := s.respond(req)
	resp.SetVersion(version)
	return resp.AppendTo(out), nil
}

// apiVersions says what is served; who asks in a newer version is told to ask in
// one that is.
func (s *Server) apiVersions(version int16) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(version)
	if version > versions[kmsg.ApiVersions][1] {
		resp.SetVersion(0)
		resp.ErrorCode = kerr.UnsupportedVersion.Code
	}
	for key, v := range versions {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key.Int16(), MinVersion: v[0], MaxVersion: v[1]})
	}
	return resp
}

// respond answers what is asked rarely.
func (s *Server) respond(req kmsg.Request) kmsg.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		resp := kmsg.NewPtrCreateTopicsResponse()
		for _, t := range req.Topics {
			s.topics[t.Topic] = t.NumPartitions
			resp.Topics = append(resp.Topics, kmsg.CreateTopicsResponseTopic{Topic: t.Topic})
		}
		return resp
	case *kmsg.MetadataRequest:
		resp := kmsg.NewPtrMetadataResponse()
		resp.ControllerID = 1
		resp.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: s.host, Port: s.port}}
		for _, t := range req.Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic = t.Topic
			for i := range s.topics[*t.Topic] {
				p := kmsg.NewMetadataResponseTopicPartition()
				p.Partition, p.Leader, p.Replicas, p.ISR = i, 1, []int32{1}, []int32{1}
				topic.Partitions = append(topic.Partitions, p)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp
	case *kmsg.InitProducerIDRequest:
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ProducerID = 1
		return resp
	default: // ListOffsets: everything begins at 0
		resp := kmsg.NewPtrListOffsetsResponse()
		for _, t := range req.(*kmsg.ListOffsetsRequest).Topics {
			topic := kmsg.NewListOffsetsResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				part := kmsg.NewListOffsetsResponseTopicPartition()
				part.Partition, part.Offset = p.Partition, 0
				topic.Partitions = append(topic.Partitions, part)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp
	}
}

// produce acknowledges every partition of a request, in its layout of versions 3
// to 8, and remembers a batch.
func (s *Server) produce(out []byte, version int16, body []byte) ([]byte, error) {
	r := kbin.Reader{Src: body}
	r.NullableString() // transactional id
	r.Int16()          // acks
	r.Int32()          // timeout
	topics := r.ArrayLen()
	out = binary.BigEndian.AppendUint32(out, uint32(topics))
	for range topics {
		name := r.Span(int(r.Int16()))
		out = binary.BigEndian.AppendUint16(out, uint16(len(name)))
		out = append(out, name...)
		partitions := r.ArrayLen()
		out = binary.BigEndian.AppendUint32(out, uint32(partitions))
		for range partitions {
			out = binary.BigEndian.AppendUint32(out, uint32(r.Int32()))
			s.remember(r.NullableBytes())
			out = append(out, 0, 0) // no error
			out = binary.BigEndian.AppendUint64(out, 0)
			out = binary.BigEndian.AppendUint64(out, ^uint64(0)) // no append time
			if version >= 5 {
				out = binary.BigEndian.AppendUint64(out, 0) // log start
			}
			if version >= 8 {
				out = append(out, 0, 0, 0, 0, 0xff, 0xff) // no record errors, no message
			}
		}
	}
	return append(out, 0, 0, 0, 0), r.Complete() // throttle
}

// remember keeps the largest batch.
func (s *Server) remember(batch []byte) {
	const countAt = 57 // of the records, in the batch's header
	if len(batch) < countAt+4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(batch) > len(s.batch) {
		s.batch = append([]byte(nil), batch...)
		s.records = int64(binary.BigEndian.Uint32(batch[countAt:]))
	}
}

var errNothing = errors.New("nothing was produced that could be fetched")

// fetch answers with the batch for each partition, at the offset that was asked
// for. The batch itself is not copied: only its base offset differs.
func (s *Server) fetch(out, body []byte, version int16) ([]byte, net.Buffers, error) {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	batch := s.batch
	s.mu.Unlock()
	if batch == nil {
		return nil, nil, errNothing
	}
	asked := 0
	for _, t := range req.Topics {
		asked += len(t.Partitions)
	}
	if asked == 0 { // the end of a session
		time.Sleep(time.Duration(req.MaxWaitMillis) * time.Millisecond)
	}
	// As many batches as the client takes of a partition, from as many partitions
	// as it takes in all.
	left := max(int(req.MaxBytes), len(batch))
	var bufs net.Buffers
	out = append(out, make([]byte, 4+2+4)...) // throttle, error, no session
	out = binary.BigEndian.AppendUint32(out, uint32(len(req.Topics)))
	from := 0
	for _, t := range req.Topics {
		out = binary.BigEndian.AppendUint16(out, uint16(len(t.Topic)))
		out = append(out, t.Topic...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(t.Partitions)))
		for _, p := range t.Partitions {
			out = binary.BigEndian.AppendUint32(out, uint32(p.Partition))
			out = append(out, 0, 0)                         // no error
			out = binary.BigEndian.AppendUint64(out, 1<<50) // high watermark
			out = binary.BigEndian.AppendUint64(out, 1<<50) // last stable offset
			if version >= 5 {
				out = binary.BigEndian.AppendUint64(out, 0) // log start
			}
			out = append(out, 0, 0, 0, 0) // no aborted transactions
			if version >= 11 {
				out = append(out, 0xff, 0xff, 0xff, 0xff) // no preferred replica
			}
			n := min(max(1, int(p.PartitionMaxBytes)/len(batch)), left/len(batch))
			left -= n * len(batch)
			out = binary.BigEndian.AppendUint32(out, uint32(n*len(batch)))
			for i := range n {
				out = binary.BigEndian.AppendUint64(out, uint64(p.FetchOffset+int64(i)*s.records))
				bufs = append(bufs, nil, batch[8:])
				bufs[len(bufs)-2] = out[from:len(out):len(out)]
				from = len(out)
			}
		}
	}
	bufs = fix(bufs, out)
	if from < len(out) {
		bufs = append(bufs, out[from:])
	}
	return out, bufs, nil
}

// fix points the pieces of out that were taken while it grew to where it is now.
func fix(bufs net.Buffers, out []byte) net.Buffers {
	at := 0
	for i := 0; i < len(bufs); i += 2 {
		n := len(bufs[i])
		bufs[i] = out[at : at+n]
		at += n
	}
	return bufs
}
