package api

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/topics"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// reading is one partition of a fetch being answered.
type reading struct {
	*fetchEntry
	part *partition.Partition // nil when code says why
	code int16
}

// fetch answers a Fetch request: at once when there is enough, or something to
// tell, else as soon as there is, and at the latest when the client's wait is over.
func (h *Handler) fetch(ctx context.Context, c *call) (Reply, error) {
	req, err := wire.ParseFetch(c.req.Version, c.req.Body)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if req.IsolationLevel&^1 != 0 {
		return h.fetchReply(c, &wire.FetchResponse{ErrorCode: errcode.InvalidRequest}), nil
	}
	sess, entries, code := h.sessions.resolve(c, req)
	if code != errcode.None {
		return h.fetchReply(c, &wire.FetchResponse{ErrorCode: code}), nil
	}
	if sess != nil {
		defer sess.mu.Unlock()
	}
	readings := make([]reading, len(entries))
	failed := false
	for i, e := range entries {
		readings[i] = h.startReading(c, e)
		failed = failed || readings[i].code != errcode.None
	}
	if req.ReplicaID >= 0 {
		// Nobody follows this broker, and who may not is told so.
		code := errcode.NotLeaderOrFollower
		if !h.allowed(c, auth.ClusterAction, auth.Cluster, auth.ClusterName) {
			code = errcode.TopicAuthorizationFailed
		}
		for i := range readings {
			readings[i].code = cmp.Or(readings[i].code, code)
		}
		failed = true
	}
	iso := partition.Isolation(req.IsolationLevel)
	maxBytes := h.fetchBytes(c, int(min(max(req.MaxBytes, 0), h.cfg.FetchMaxBytes)))
	wire.PutBuffer(c.req.Frame) // the request was copied out of it
	arena := &wire.Arena{}
	deadline := time.Now().Add(time.Duration(req.MaxWaitMillis) * time.Millisecond)

	answers, size, told := h.read(c, arena, readings, iso, maxBytes)
	if int64(size) >= int64(req.MinBytes) || told || failed || req.MaxWaitMillis <= 0 || len(entries) == 0 {
		return h.fetchAnswer(c, sess, readings, answers, arena), nil
	}
	arena.Free() // not held while waiting
	w := partition.NewWaiter(max(int(req.MinBytes)-size, 1))
	for i := range readings {
		if p := readings[i].part; p != nil {
			p.Notify(w, iso)
			defer p.Forget(w)
		}
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		answers, size, told = h.read(c, arena, readings, iso, maxBytes)
		if int64(size) >= int64(req.MinBytes) || told {
			break
		}
		arena.Free()
		w.Reset(max(int(req.MinBytes)-size, 1))
		c.pause()
		h.parked.fetches.Add(1)
		over := false
		select {
		case <-w.C():
		case <-timer.C:
			over = true
		case <-ctx.Done(): // the broker is closing: what there is has to do
			over = true
		}
		h.parked.fetches.Add(-1)
		c.resume()
		if over {
			answers, _, _ = h.read(c, arena, readings, iso, maxBytes)
			break
		}
	}
	return h.fetchAnswer(c, sess, readings, answers, arena), nil
}

// startReading finds the partition of an entry, or the code that says why not.
func (h *Handler) startReading(c *call, e *fetchEntry) reading {
	r := reading{fetchEntry: e}
	topic, name := c.img.Topic(e.name), e.name
	if !e.id.IsZero() {
		if topic = c.img.TopicByID(e.id); topic != nil {
			e.was, name = topic.Name, topic.Name
		}
	}
	switch {
	case topic == nil && c.req.Version >= 13:
		if r.code = errcode.UnknownTopicID; e.was != "" && c.img.Topic(e.was) != nil {
			r.code = errcode.InconsistentTopicID // in a session: the topic was made anew
		}
		return r
	case !h.allowed(c, auth.Read, auth.Topic, name): // whether or not it exists
		r.code = errcode.TopicAuthorizationFailed
		return r
	case topic == nil:
		r.code = errcode.UnknownTopicOrPartition
		return r
	}
	part, err := h.topics.Get(topic, e.index)
	if err != nil {
		r.code, _ = h.code(err)
		return r
	}
	r.part = part
	if r.code = checkEpoch(c.img, topic, e.index, e.leaderEpoch); r.code == errcode.None && e.lastEpoch > c.img.LeaderEpoch(topic, e.index) {
		r.code = errcode.OffsetOutOfRange // what it has is from an epoch that never was
	}
	return r
}

// checkEpoch compares the leader epoch a client believes in with ours.
func checkEpoch(img *cluster.Image, t *cluster.Topic, index, epoch int32) int16 {
	switch ours := img.LeaderEpoch(t, index); {
	case epoch < 0 || epoch == ours:
		return errcode.None
	case epoch < ours:
		return errcode.FencedLeaderEpoch
	default:
		return errcode.UnknownLeaderEpoch
	}
}

// read reads the partitions in their order, up to maxBytes together, but one
// batch at least. told says that an answer has to go out although it may be short.
func (h *Handler) read(c *call, arena *wire.Arena, readings []reading, iso partition.Isolation, maxBytes int) (answers []wire.FetchPartitionResponse, size int, told bool) {
	arena.Reset()
	answers = make([]wire.FetchPartitionResponse, len(readings))
	for i := range readings {
		r, a := &readings[i], &answers[i]
		*a = wire.FetchPartitionResponse{Index: r.index, ErrorCode: r.code, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
		if r.part == nil || r.code != errcode.None {
			a.Aborted = []wire.AbortedTransaction{}
			told = true
			continue
		}
		if d := diverging(r); d != nil {
			marks := r.part.Offsets()
			a.HighWatermark, a.LastStableOffset, a.LogStartOffset = marks.HighWatermark, marks.LastStable, marks.LogStart
			a.DivergingEpoch = d
			told = true
			continue
		}
		left := max(min(int(r.maxBytes), maxBytes-size), 0)
		if c.Sendfile && left >= leastSent && r.fromFile(a, arena, left, iso) {
			size += a.Size()
			continue
		}
		var room []byte
		if marks := r.part.Offsets(); r.offset < marks.HighWatermark && (left > 0 || size == 0) {
			room = arena.Room()
			left = min(left, len(room))
		}
		got, err := r.part.ReadInto(room, r.offset, left, iso, size == 0)
		arena.Keep(got.Records)
		a.HighWatermark, a.LastStableOffset, a.LogStartOffset = got.HighWatermark, got.LastStable, got.LogStart
		if err != nil {
			code, ok := topics.Code(err)
			if !ok {
				h.log.Error("read failed", "offset", r.offset, "err", err)
				code = errcode.UnknownServerError
			}
			a.ErrorCode = code
			told = true
			continue
		}
		if len(got.Records) == 0 && size > 0 && left < int(r.maxBytes) && maxBytes == int(h.cfg.FetchMaxBytes) && r.offset < got.HighWatermark {
			h.cfg.Hits.Hit(limit.FetchBytes) // its turn comes in the next answer
		}
		a.Records = got.Records
		size += len(got.Records)
		a.Aborted = aborted(got.Aborted, iso)
	}
	return answers, size, told
}

// leastSent is from how many bytes on the kernel sends them from the file: less is as
// well copied, and goes out in one call with its neighbours.
const leastSent = 64 << 10

// fromFile answers with a part of the partition's file, if there is enough to send.
// What is wrong, if anything, comes out when it is read.
func (r *reading) fromFile(a *wire.FetchPartitionResponse, arena *wire.Arena, maxBytes int, iso partition.Isolation) bool {
	s, got, err := r.part.Slice(r.offset, maxBytes, iso, leastSent)
	if err != nil || s.Len == 0 {
		return false
	}
	file, ok := s.File.(fsys.Descriptor)
	if !ok { // it is in memory
		s.Release()
		return false
	}
	arena.Hold(&s)
	a.HighWatermark, a.LastStableOffset, a.LogStartOffset = got.HighWatermark, got.LastStable, got.LogStart
	a.Aborted = aborted(got.Aborted, iso)
	a.File = wire.FilePart{File: file, Pos: s.Pos, Len: s.Len}
	return true
}

// aborted is nil where the client does not ask what is committed.
func aborted(txns []partition.AbortedTxn, iso partition.Isolation) []wire.AbortedTransaction {
	if iso != partition.ReadCommitted {
		return nil
	}
	out := make([]wire.AbortedTransaction, len(txns))
	for i, t := range txns {
		out[i] = wire.AbortedTransaction{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset}
	}
	return out
}

// diverging compares the epoch of the last record the client has with our log.
func diverging(r *reading) *wire.EpochEnd {
	if r.lastEpoch < 0 {
		return nil
	}
	epoch, end := r.part.EpochEnd(r.lastEpoch)
	if epoch == r.lastEpoch && end >= r.offset {
		return nil
	}
	if epoch < 0 {
		// The epoch is older than anything in the log: what the client has may well
		// have been ours once, and its offset decides.
		return nil
	}
	return &wire.EpochEnd{Epoch: epoch, EndOffset: end}
}

// fetchAnswer makes the response of a fetch, in a session only of what is news.
func (h *Handler) fetchAnswer(c *call, sess *fetchSession, readings []reading, answers []wire.FetchPartitionResponse, arena *wire.Arena) Reply {
	if reply := h.chargeFetch(c, sess, answers, arena); reply != nil {
		return reply
	}
	resp := &wire.FetchResponse{}
	if sess != nil {
		resp.SessionID = sess.id
	}
	for i := range readings {
		e := readings[i].fetchEntry
		if sess != nil && !sess.news(e, &answers[i]) {
			continue
		}
		n := len(resp.Topics)
		if n == 0 || resp.Topics[n-1].Name != e.name || resp.Topics[n-1].ID != e.id {
			resp.Topics = append(resp.Topics, wire.FetchTopicResponse{Name: e.name, ID: e.id})
			n++
		}
		t := &resp.Topics[n-1]
		t.Partitions = append(t.Partitions, answers[i])
	}
	if sess != nil {
		sess.rotate()
	}
	reply := h.fetchReply(c, resp)
	return func(ctx context.Context, v *wire.Vec) error {
		v.OnReset(arena.Free)
		return reply(ctx, v)
	}
}

func (h *Handler) fetchReply(c *call, resp *wire.FetchResponse) Reply {
	return func(_ context.Context, v *wire.Vec) error {
		resp.ThrottleMillis = c.throttleMillis()
		v.Append(func(dst []byte) []byte { return wire.AppendResponseHeader(dst, c.req) })
		resp.AppendTo(v, c.req.Version)
		return nil
	}
}
