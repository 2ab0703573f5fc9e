package conformance

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

func raw(t *testing.T, addr string, b []byte) net.Conn {
	t.Helper()
	c := dial(t, addr)
	if _, err := c.nc.Write(b); err != nil {
		t.Logf("writing: %v", err) // closed in the middle: as good as any
	}
	return c.nc
}

// TestGarbage: what is no request costs its connection, and nothing else.
func TestGarbage(t *testing.T) {
	b := start(t)
	good := dial(t, b.Addr())
	good.create("t", 1)
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	tags := []byte{0, 3, 0, 12, 0, 0, 0, 1, 0, 1, 'x', 0xff, 0xff, 0xff, 0xff, 0x0f}
	array := []byte{0, 19, 0, 7, 0, 0, 0, 1, 0, 1, 'x', 0, 0xff, 0xff, 0xff, 0xff, 0x07}
	frame := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	for name, in := range map[string][]byte{
		"an HTTP request":          []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a TLS hello":              {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
		"noise":                    noise,
		"framed noise":             frame(noise),
		"a negative size":          {0xff, 0xff, 0xff, 0xff, 0, 0},
		"an unknown key":           frame([]byte{0x70, 0, 0, 0, 0, 0, 0, 1, 0, 0}),
		"a negative key":           frame([]byte{0xff, 0xff, 0, 0, 0, 0, 0, 1, 0, 0}),
		"four billion tags":        frame(tags),
		"two billion topics":       frame(array),
		"a claim of 100 MiB":       {6, 64, 0, 0, 0, 0, 0, 9},
		"a produce without a body": frame([]byte{0, 0, 0, 9, 0, 0, 0, 1, 0, 1, 'x', 0}),
	} {
		nc := raw(t, b.Addr(), in)
		if name == "a claim of 100 MiB" || name == "a TLS hello" {
			nc.Close()
			continue
		}
		if err := nc.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n, err := nc.Read(make([]byte, 64)); err == nil {
			t.Errorf("%s: %d bytes came back", name, n)
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // only a bare deadline counts
			t.Errorf("%s: the connection stays open", name)
		}
	}
	if p := good.produce("t", batch(record.Options{}, "x")); p.ErrorCode != 0 {
		t.Errorf("a good connection suffers: %+v", p)
	}
}

// TestMutatedRequests: valid requests with random bytes changed: an answer or the
// end of the connection, and the broker goes on.
func TestMutatedRequests(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.InMemory = true })
	c := dial(t, b.Addr())
	c.create("t", 1)
	var keys []int16
	for _, k := range ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3)).ApiKeys {
		keys = append(keys, k.ApiKey)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	one := dial(t, b.Addr())
	for range 2000 {
		req := kmsg.RequestForKey(keys[rng.IntN(len(keys))])
		switch {
		case req.Key() == 1:
			req = fetchRequest("t", 0)
		case req.Key() == 0:
			req = produceRequest("t", 0, -1, batch(record.Options{}, "x"))
		case req.Key() == 11:
			continue // may wait for members, as it should
		}
		req.SetVersion(req.MaxVersion())
		out := kmsg.NewRequestFormatter(kmsg.FormatterClientID("m")).AppendRequest(nil, req, 1)
		for range 1 + rng.IntN(3) {
			if i := 12 + rng.IntN(len(out)); i < len(out) {
				out[i] = byte(rng.Uint32())
			}
		}
		if req.Key() == 1 && len(out) > 30 {
			copy(out[15:23], []byte{0, 0, 0, 0, 0, 0, 0, 0}) // no long wait
		}
		if _, err := one.nc.Write(out); err != nil {
			one = dial(t, b.Addr())
			continue
		}
		if err := one.nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := one.frame(); err != nil {
			one.nc.Close()
			one = dial(t, b.Addr())
		}
	}
	if resp := ask[*kmsg.ApiVersionsResponse](dial(t, b.Addr()), 3, apiVersions(3)); resp.ErrorCode != 0 {
		t.Fatal("the broker does not answer any more")
	}
}

// TestClaimsTakeNoMemory: connections that claim large frames and stay silent.
func TestClaimsTakeNoMemory(t *testing.T) {
	b := start(t)
	ask[*kmsg.ApiVersionsResponse](dial(t, b.Addr()), 3, apiVersions(3))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 50 {
		raw(t, b.Addr(), []byte{6, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1})
	}
	ask[*kmsg.ApiVersionsResponse](dial(t, b.Addr()), 3, apiVersions(3))
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 50*(1<<20) {
		t.Errorf("50 claims of 100 MiB made us allocate %d MiB", grown>>20)
	}
}
