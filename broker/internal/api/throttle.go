package api

import (
	"context"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/quota"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// How client quotas are enforced (KIP-219): a client over its quota is answered at
// once, told for how long it is held back, and its connection is not read for so
// long. What a call uses it charges while it is handled; meter is nil where no
// quota is set, and all of this costs nothing then.

// meter is what one call uses of its client's quotas.
type meter struct {
	quotas  quota.Table
	client  quota.Client
	began   time.Time     // since when the call has been working
	worked  time.Duration // before that
	charged bool          // its time was
	wait    time.Duration // for how long the client is to be held back
}

// maxTimeThrottle bounds how long a client is held back at a time for what its
// requests take of the processor, as in Kafka.
const maxTimeThrottle = time.Second

// metered handles a call of a client that may have quotas.
func (h *Handler) metered(ctx context.Context, c *call) (Reply, error) {
	c.meter = &meter{
		quotas: c.img.ClientQuotas, began: time.Now(),
		client: quota.Client{User: strings.TrimPrefix(c.Principal, "User:"), ID: c.req.ClientID},
	}
	reply, err := h.handle(ctx, c)
	h.chargeTime(c)
	c.mute = c.meter.wait
	return reply, err
}

// Mute returns for how long the connection is not to be read, once.
func (s *Session) Mute() time.Duration {
	d := s.mute
	s.mute = 0
	return d
}

// throttleMillis is what the client is told.
func (c *call) throttleMillis() int32 {
	if c.meter == nil {
		return 0
	}
	return int32(c.meter.wait.Milliseconds())
}

// pause and resume are around what a call waits for, which is not its work.
func (c *call) pause() {
	if c.meter != nil {
		c.meter.worked += time.Since(c.meter.began)
	}
}

func (c *call) resume() {
	if c.meter != nil {
		c.meter.began = time.Now()
	}
}

// works are the keys whose handlers only work. Those of others wait for the disk or
// for a coordinator, and what their requests are charged is the decoding.
var works = map[int16]bool{
	2: true, 3: true, 23: true, 32: true, 34: true, 35: true, 43: true, 45: true, 46: true,
	48: true, 50: true, 55: true, 60: true, 61: true, 74: true, 75: true,
}

// chargeTime charges the time that a call took.
func (h *Handler) chargeTime(c *call) {
	m := c.meter
	if m == nil || m.charged {
		return
	}
	m.charged = true
	c.pause()
	percent := 100 * m.worked.Seconds() // of a second of one processor
	m.hold(min(h.meter.Use(m.quotas, quota.Request, m.client, percent, time.Now()), maxTimeThrottle))
}

// hold has the client held back.
func (m *meter) hold(d time.Duration) { m.wait = max(m.wait, d) }

// chargeProduce charges the bytes of a Produce request that have come: others may share
// the quota, and what a client only claims to send costs it nothing.
func (h *Handler) chargeProduce(c *call) {
	if m := c.meter; m != nil {
		size := c.req.Size()
		if c.req.Rest != nil {
			size -= c.req.Rest.Len()
		}
		m.hold(h.meter.Use(m.quotas, quota.Produce, m.client, float64(size), time.Now()))
	}
}

// fetchBytes bounds what one answer has by what the client's quota has room for:
// more could never be sent.
func (h *Handler) fetchBytes(c *call, bytes int) int {
	if m := c.meter; m != nil {
		if most, ok := m.quotas.Largest(quota.Fetch, m.client); ok {
			return min(bytes, int(most))
		}
	}
	return bytes
}

// chargeFetch charges the records of an answer. Where that is over a quota it
// returns the answer to give instead: no records, and when to come again.
func (h *Handler) chargeFetch(c *call, sess *fetchSession, answers []wire.FetchPartitionResponse, arena *wire.Arena) Reply {
	m := c.meter
	if m == nil {
		return nil
	}
	size := 0
	for i := range answers {
		size += answers[i].Size()
	}
	h.chargeTime(c)
	if m.wait == 0 && size > 0 {
		m.hold(h.meter.TryUse(m.quotas, quota.Fetch, m.client, float64(size), time.Now()))
	}
	if m.wait == 0 {
		return nil
	}
	arena.Free()
	resp := &wire.FetchResponse{}
	if sess != nil && sess.lasting {
		resp.SessionID = sess.id
	} else if sess != nil {
		h.sessions.remove(c, sess.id) // the client hears of none, and sends everything again
	}
	return h.fetchReply(c, resp)
}

// neverStrict is above every version.
const neverStrict = 1 << 15

// chargeMutation charges partitions that are created or deleted. Versions of a
// request from strict on are refused where something is owed, as their clients know
// the code; others are held back.
func (h *Handler) chargeMutation(c *call, partitions, strict int) error {
	m := c.meter
	if m == nil {
		return nil
	}
	if int(c.req.Version) < strict {
		m.hold(h.meter.Use(m.quotas, quota.Mutation, m.client, float64(partitions), time.Now()))
		return nil
	}
	wait := h.meter.Admit(m.quotas, quota.Mutation, m.client, float64(partitions), time.Now())
	if m.hold(wait); wait > 0 {
		return &cluster.Error{Code: errcode.ThrottlingQuotaExceeded, Message: "The throttling quota has been exceeded."}
	}
	return nil
}
