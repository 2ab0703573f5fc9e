package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/alloc"
	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// fuzzed is a broker that fuzz targets talk to. What it does not survive fails the
// target: a panic, also one that costs a connection only, an answer that does not
// parse, one that does not come, memory that nobody paid for.
type fuzzed struct {
	mu     sync.Mutex
	broker *broker.Broker
	served chan error
	uses   int
	panics atomic.Pointer[string]
}

// Enabled implements slog.Handler.
func (f *fuzzed) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler: it waits for panics.
func (f *fuzzed) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "stack" || a.Key == "panic" {
			text := r.Message + ": " + a.Value.String()
			if was := f.panics.Load(); was != nil {
				text = *was + "\n" + text
			}
			f.panics.Store(&text)
		}
		return true
	})
	return nil
}

// WithAttrs implements slog.Handler.
func (f *fuzzed) WithAttrs([]slog.Attr) slog.Handler { return f }

// WithGroup implements slog.Handler.
func (f *fuzzed) WithGroup(string) slog.Handler { return f }

// usesPerBroker bounds what inputs leave behind for later ones.
const usesPerBroker = 300

// use returns the address of the broker, a new one now and then, and the id of its
// topic "t".
func (f *fuzzed) use(t testing.TB) (addr string, ids [][16]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.uses%usesPerBroker == 0 {
		f.stop(t)
		b, err := broker.Open(broker.Config{
			InMemory: true, Listen: "127.0.0.1:0", OffsetsPartitions: 2, TransactionsPartitions: 2, MaxPartitions: 300,
			GroupInitialRebalanceDelay: -1, GroupMinSessionTimeout: time.Millisecond, Logger: slog.New(f),
		})
		if err != nil {
			t.Fatal(err)
		}
		f.broker, f.served = b, make(chan error, 1)
		go func() { f.served <- b.Serve() }()
	}
	f.uses++
	c := dial(t, f.broker.Addr())
	meta := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	name := "t"
	rt.Topic = &name
	meta.Topics, meta.AllowAutoTopicCreation = append(meta.Topics, rt), true
	for _, topic := range ask[*kmsg.MetadataResponse](c, 12, meta).Topics {
		ids = append(ids, topic.TopicID)
	}
	c.nc.Close()
	return f.broker.Addr(), ids
}

func (f *fuzzed) stop(t testing.TB) {
	if f.broker == nil {
		return
	}
	if err := errors.Join(f.broker.Close(), <-f.served); err != nil {
		t.Errorf("closing the broker: %v", err)
	}
	f.broker = nil
}

// done fails the test for what the broker has met.
func (f *fuzzed) done(t testing.TB) {
	t.Helper()
	if text := f.panics.Swap(nil); text != nil {
		t.Fatalf("the broker panicked: %s", *text)
	}
}

// patience is what an answer, or a connection, may take beyond the wait that its request asked for:
// transactions that are being ended are waited for up to 5 s.
const patience = time.Minute

// bill is what requests may make the broker allocate, and the client at this end.
type bill struct {
	requests        int
	sent, got, paid int64 // bytes, and what the broker's budget charges for decoding
}

// meanwhile is for what no request pays for: a round of commits, a journal or a
// partition of an internal topic that one before has led to. Their buffers are of 1 MiB.
const meanwhile = 8 << 20

// check fails the test when more was allocated than the requests pay for: what the
// broker's budget charges for decoding them, their bytes four times as in our own
// codecs, the answers' eight times as they are written here and decoded there, for each
// request 1 MiB for what it does, and what the broker does by itself meanwhile.
func (p *bill) check(t testing.TB, used int64) {
	t.Helper()
	if bound := p.paid + 4*p.sent + 8*p.got + int64(p.requests)<<20 + meanwhile; used > bound {
		t.Fatalf("%d requests of %d bytes, charged %d, answered with %d bytes, made us allocate %d, more than %d", p.requests, p.sent, p.paid, p.got, used, bound)
	}
}

// exchange sends the body of a request and takes what comes: an answer that parses, or
// the end of the connection. A body that kmsg can read is sent tamed.
func (p *bill) exchange(t testing.TB, c *conn, key, version int16, body []byte) (open bool) {
	t.Helper()
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	answered, stated := true, time.Duration(0)
	charge, ok := sound(key, version, body)
	if ok && req.ReadFrom(body) == nil {
		stated, answered = tame(req)
		body = req.AppendTo(nil)
	}
	head := binary.BigEndian.AppendUint16(nil, uint16(key))
	head = binary.BigEndian.AppendUint16(head, uint16(version))
	head = binary.BigEndian.AppendUint32(head, 7)
	head = append(head, 0, 1, 'f')
	if req.IsFlexible() {
		head = append(head, 0)
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(head)+len(body)))
	frame = append(append(frame, head...), body...)
	p.requests, p.sent, p.paid = p.requests+1, p.sent+int64(len(frame)), p.paid+charge
	if err := c.nc.SetDeadline(time.Now().Add(stated + patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.nc.Write(frame); err != nil {
		return false
	}
	if !answered {
		return true
	}
	answer, err := c.frame()
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		t.Fatalf("no answer to %s v%d within %v: %x", kmsg.NameForKey(key), version, stated+patience, body)
	case err != nil:
		return false
	case int32(binary.BigEndian.Uint32(answer)) != 7:
		return false // to an acks=0 before it, it cannot be; the connection is no good any more
	}
	p.got += int64(len(answer))
	answer = answer[4:]
	if req.IsFlexible() && key != 18 {
		answer = answer[1:]
	}
	resp := req.ResponseKind()
	if key == 18 && len(answer) > 2 && answer[1] == 35 {
		resp.SetVersion(0) // a version that is not answered
	}
	if err := resp.ReadFrom(answer); err != nil {
		t.Fatalf("the answer to %s v%d does not parse: %v", kmsg.NameForKey(key), version, err)
	}
	return true
}

// sound tells whether kmsg may be let near a body, as it allocates what a length claims,
// and what the broker charges for that.
func sound(key, version int16, body []byte) (charge int64, ok bool) {
	var err error
	switch key {
	case wire.KeyProduce:
		_, err = wire.ParseProduce(version, body)
	case wire.KeyFetch:
		_, err = wire.ParseFetch(version, body)
	default:
		charge, err = wire.NewBudget(1<<20, nil).Check(&wire.Request{Key: key, Version: version, Body: body})
	}
	return charge, err == nil
}

// FuzzRequest sends one request of any key and version, with any body.
func FuzzRequest(f *testing.F) {
	rng := rand.New(rand.NewPCG(11, 12))
	api.Advertised(func(key, _, max int16) {
		for v := range max + 1 {
			if !api.Serves(key, v) {
				continue
			}
			noise := make([]byte, 300)
			for i := range noise {
				noise[i] = byte(rng.Uint32())
			}
			f.Add(key, v, (&source{b: noise}).request(key, v).AppendTo(nil))
		}
	})
	var b fuzzed
	f.Cleanup(func() { b.stop(f) })
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if key < 0 || key > kmsg.MaxKey || kmsg.RequestForKey(key) == nil || version < 0 || version > 20 || len(body) > 64<<10 {
			return
		}
		addr, _ := b.use(t)
		c := dial(t, addr)
		defer c.nc.Close()
		var p bill
		used := alloc.Bytes(func() { p.exchange(t, c, key, version, body) })
		b.done(t)
		p.check(t, used)
	})
}

// FuzzSequence plays sequences of requests, over a few connections, to one broker: what
// earlier ones have left meets what comes. Afterwards the broker still takes a record
// and gives it back.
func FuzzSequence(f *testing.F) {
	rng := rand.New(rand.NewPCG(13, 14))
	for range 40 {
		noise := make([]byte, 600)
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		f.Add(noise)
	}
	type offer struct{ key, min, max int16 }
	var offers []offer
	api.Advertised(func(key, min, max int16) {
		for !api.Serves(key, min) {
			min++
		}
		offers = append(offers, offer{key, min, max})
	})
	var b fuzzed
	f.Cleanup(func() { b.stop(f) })
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return
		}
		addr, ids := b.use(t)
		s := &source{b: data, ids: ids}
		var p bill
		used := alloc.Bytes(func() {
			conns := make([]*conn, 3)
			for steps := 0; steps < 20 && len(s.b) > 0; steps++ {
				o := offers[s.pick(len(offers))]
				version := o.min + int16(s.pick(int(o.max-o.min)+1))
				i := s.pick(len(conns))
				body := s.request(o.key, version).AppendTo(nil)
				if s.pick(6) == 0 && len(body) > 0 { // damage it
					body[s.pick(len(body))] ^= 1 << s.pick(8)
				}
				if conns[i] == nil {
					conns[i] = dial(t, addr)
				}
				if !p.exchange(t, conns[i], o.key, version, body) {
					conns[i].nc.Close()
					conns[i] = nil
				}
			}
			for _, c := range conns {
				if c != nil {
					c.nc.Close()
				}
			}
		})
		b.done(t)
		p.check(t, used)
		alive(t, addr)
	})
}

// alive fails the test unless the broker answers.
func alive(t testing.TB, addr string) {
	t.Helper()
	c := dial(t, addr)
	defer c.nc.Close()
	if resp := ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3)); resp.ErrorCode != 0 {
		t.Fatalf("the broker does not answer any more: code %d", resp.ErrorCode)
	}
}
