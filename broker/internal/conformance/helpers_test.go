package conformance

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// conn is a connection that sends exactly what it is told to.
type conn struct {
	t    testing.TB
	nc   net.Conn
	next int32

	clientID string
}

func start(t testing.TB, opts ...func(*broker.Config)) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, opts...)
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	var d net.Dialer
	nc, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &conn{t: t, nc: nc, clientID: "test"}
	c.patient()
	return c
}

// patient gives what is sent and received next five minutes.
func (c *conn) patient() {
	c.t.Helper()
	if err := c.nc.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		c.t.Fatal(err)
	}
}

// send writes a request and returns its correlation id.
func (c *conn) send(req kmsg.Request) int32 {
	c.t.Helper()
	c.next++
	b := kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.clientID)).AppendRequest(nil, req, c.next)
	c.patient()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("writing: %v", err)
	}
	return c.next
}

// receive reads the answer to a request.
func (c *conn) receive(req kmsg.Request, id int32) kmsg.Response {
	c.t.Helper()
	c.patient()
	frame, err := c.frame()
	if err != nil {
		c.t.Fatalf("no answer to %s v%d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != id {
		c.t.Fatalf("the answer is to request %d, not to %d", got, id)
	}
	body := frame[4:]
	if req.IsFlexible() && req.Key() != 18 {
		body = body[1:]
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		c.t.Fatalf("the answer to %s v%d does not parse: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); len(again) != len(body) {
		c.t.Fatalf("the answer to %s v%d has %d bytes, of which %d mean something", kmsg.NameForKey(req.Key()), req.GetVersion(), len(body), len(again))
	}
	return resp
}

func (c *conn) frame() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(c.nc, b)
	return b, err
}

// closed fails unless the broker closes the connection without a word.
func (c *conn) closed() {
	c.t.Helper()
	if frame, err := c.frame(); err == nil {
		c.t.Fatalf("the broker answers %d bytes, expected it to close the connection", len(frame))
	}
}

// ask sends a request in a version and returns its answer.
func ask[R kmsg.Response](c *conn, version int16, req kmsg.Request) R {
	c.t.Helper()
	req.SetVersion(version)
	return c.receive(req, c.send(req)).(R)
}

// create makes a topic and returns its id.
func (c *conn) create(name string, partitions int32, configs ...string) [16]byte {
	c.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
	for i := 0; i < len(configs); i += 2 {
		cfg := kmsg.NewCreateTopicsRequestTopicConfig()
		cfg.Name, cfg.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, cfg)
	}
	req.Topics = append(req.Topics, t)
	req.TimeoutMillis = 300_000
	out := ask[*kmsg.CreateTopicsResponse](c, 7, req).Topics[0]
	if out.ErrorCode != 0 {
		c.t.Fatalf("creating %s: code %d, %v", name, out.ErrorCode, out.ErrorMessage)
	}
	return out.TopicID
}

// batch builds a batch of values, with the producer's fields in o.
func batch(o record.Options, values ...string) []byte {
	b := record.NewBuilder(o)
	for _, v := range values {
		b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Key: []byte("k"), Value: []byte(v)})
	}
	return b.Batch()
}

func produceRequest(topic string, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 300_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// produce appends a batch with acks=all and returns the answer.
func (c *conn) produce(topic string, records []byte) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	return ask[*kmsg.ProduceResponse](c, 9, produceRequest(topic, 0, -1, records)).Topics[0].Partitions[0]
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

// values decodes the values in record batches.
func values(t testing.TB, batches []byte) (out []string) {
	t.Helper()
	record.Each(batches, func(b []byte) bool {
		var r record.Reader
		if err := r.Reset(b, 0); err != nil {
			t.Fatal(err)
		}
		var rec record.Record
		for r.Next(&rec) {
			out = append(out, string(rec.Value))
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		return true
	})
	return out
}

// metric waits until a sample of the broker's metrics is not zero.
func metric(t testing.TB, b *brokertest.Broker, name string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); sample(t, b, name) == "0"; {
		if time.Now().After(deadline) {
			t.Fatalf("%s stays zero", name)
		}
	}
}

// sample is what the broker's metrics tell of a name, "0" while they tell nothing.
func sample(t testing.TB, b *brokertest.Broker, name string) string {
	t.Helper()
	page := httptest.NewRecorder()
	b.Unwrap().Metrics().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	_, after, there := strings.Cut(page.Body.String(), "\n"+name+" ")
	if !there {
		return "0"
	}
	value, _, _ := strings.Cut(after, "\n")
	return value
}
