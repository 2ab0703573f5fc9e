package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/quota"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// ways are how a large request is done: in parts, or, for a record check, as a whole.
var ways = map[string]RecordCheck{
	"in parts": nil,
	"as a whole": func(context.Context, *CheckedBatch) ([]record.Fault, error) {
		return nil, errors.New("there is no batch to check")
	},
}

// TestSlowClientIsNotCharged: the time that a large request takes to come in is not work.
func TestSlowClientIsNotCharged(t *testing.T) {
	frame := make([]byte, 1<<20)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	frame[7] = 3                      // a Produce request of version 3
	frame[14], frame[15] = 0xff, 0xff // without a transaction, with acks=0, and no topic
	for name, check := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close()
				defer server.Close()
				go func() {
					for b := frame; len(b) > 0; b = b[len(b)/2+1:] {
						time.Sleep(time.Minute)
						_, _ = client.Write(b[:len(b)/2+1]) // the test fails if it does not get there
					}
				}()
				req := largeRequest(t, server)
				h := &Handler{cfg: Config{RecordCheck: check}}
				began := time.Now()
				c := &call{Session: &Session{}, req: req, meter: &meter{began: began}}
				if _, err := h.produce(t.Context(), c); !errors.Is(err, ErrNoReply) {
					t.Fatal(err)
				}
				c.pause()
				if took := time.Since(began); took < time.Minute || c.meter.worked != 0 {
					t.Errorf("of %v, %v were work", took, c.meter.worked)
				}
			})
		})
	}
}

// TestClaimsAreNotCharged: a large request is charged when it has come, and for what has:
// who claims to send much and goes does not use up a quota that others share.
func TestClaimsAreNotCharged(t *testing.T) {
	const size, rate = 1 << 20, 10_000
	quotas := quota.Table{{ClientID: quota.Default}: {quota.Produce: rate}}
	frame := make([]byte, size+4)
	binary.BigEndian.PutUint32(frame, size)
	frame[7] = 3
	frame[14], frame[15] = 0xff, 0xff // as above
	for way, check := range ways {
		for name, came := range map[string]int{"all of it": size, "half of it": size / 2, "5 KB": 5000} {
			t.Run(way+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					req := largeRequest(t, bytes.NewReader(frame[:came+4]))
					h := &Handler{cfg: Config{RecordCheck: check}}
					c := &call{Session: &Session{}, req: req, meter: &meter{quotas: quotas}}
					if _, err := h.produce(t.Context(), c); errors.Is(err, ErrNoReply) != (came == size) {
						t.Fatal(err)
					}
					want := max(0, time.Duration(came)*time.Second/rate-quota.Burst)
					if got := c.meter.wait; got < want || got > want+time.Millisecond {
						t.Errorf("held back for %v, not %v", got, want)
					}
				})
			})
		}
	}
}

// largeRequest reads the beginning of a Produce request that is done in parts.
func largeRequest(t *testing.T, r io.Reader) *wire.Request {
	t.Helper()
	first, rest, err := wire.ReadFrame(bufio.NewReader(r), wire.Limits{Produce: 2 << 20}, true, nil)
	if err != nil || rest == nil {
		t.Fatalf("the rest is %v, %v", rest, err)
	}
	req, err := wire.ParseRequest(first)
	if err != nil {
		t.Fatal(err)
	}
	req.Rest = rest
	return &req
}
