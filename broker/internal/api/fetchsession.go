package api

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// fetchEntry is one partition that a client fetches, as its last request said,
// and, in a session, what it was told last.
type fetchEntry struct {
	name        string     // empty where the client goes by id
	id          cluster.ID // zero where the client goes by name
	was         string     // the topic's name when the id was last known
	index       int32
	offset      int64
	maxBytes    int32
	leaderEpoch int32
	lastEpoch   int32

	told     bool
	high     int64
	stable   int64
	logStart int64
	served   bool // got records in the answer being made
}

type entryKey struct {
	name  string
	id    cluster.ID
	index int32
}

func (e *fetchEntry) key() entryKey { return entryKey{e.name, e.id, e.index} }

// fetchSession is an incremental fetch session (KIP-227): the client sends only
// partitions whose parameters changed, and gets only partitions with news.
//
// A session is locked from the moment its request is resolved until the answer is
// made. The order of entries is the order of service: who got records goes to the
// end, so that a busy partition cannot starve the others.
type fetchSession struct {
	id        int32
	principal string
	byID      bool // the client names topics by id
	lasting   bool // it has been used since it was made; guarded by mu

	mu      sync.Mutex
	epoch   int32 // that the next request must carry
	order   []*fetchEntry
	entries map[entryKey]*fetchEntry

	used time.Time // guarded by fetchSessions.mu
}

// fits says whether a session keeps the entry. One whose name no topic can have is
// answered and forgotten: what a session keeps would else have no bound in bytes, and
// neither would the answers that tell of it.
func (e *fetchEntry) fits() bool { return len(e.name) <= cluster.MaxTopicName }

// fetchSessions are the sessions of all clients, bounded in number, and each in what it
// names: more partitions than the broker may have are none that anybody reads.
type fetchSessions struct {
	max        int
	partitions int // of one session
	hits       *limit.Hits
	now        func() time.Time

	mu       sync.Mutex
	sessions map[int32]*fetchSession
}

// minEviction is how long a session must have been unused before a new one may
// take its slot.
const minEviction = 2 * time.Minute

func newFetchSessions(max, partitions int, hits *limit.Hits, now func() time.Time) *fetchSessions {
	return &fetchSessions{max: max, partitions: partitions, hits: hits, now: now, sessions: map[int32]*fetchSession{}}
}

// resolve returns the partitions that a request is about, and the session, locked,
// that it belongs to; no session where the client wants none or cannot have one.
func (f *fetchSessions) resolve(c *call, req *wire.FetchRequest) (*fetchSession, []*fetchEntry, int16) {
	switch req.SessionEpoch {
	case -1: // one request alone; it ends a session that it names
		f.remove(c, req.SessionID)
		return nil, entriesOf(req), errcode.None
	case 0:
		f.remove(c, req.SessionID)
		entries := entriesOf(req)
		return f.create(c, entries), entries, errcode.None
	}
	f.mu.Lock()
	s := f.sessions[req.SessionID]
	if s != nil && s.principal != c.Principal {
		s = nil
	}
	if s != nil {
		s.used = f.now()
	}
	f.mu.Unlock()
	if s == nil {
		return nil, nil, errcode.FetchSessionIDNotFound
	}
	s.mu.Lock()
	if req.SessionEpoch != s.epoch {
		s.mu.Unlock()
		return nil, nil, errcode.InvalidFetchSessionEpoch
	}
	if s.byID != (c.req.Version >= 13) {
		s.mu.Unlock()
		return nil, nil, errcode.FetchSessionTopicIDError
	}
	if s.epoch++; s.epoch <= 0 {
		s.epoch = 1
	}
	passing := s.update(req)
	if len(s.entries) > f.partitions {
		s.mu.Unlock()
		f.remove(c, s.id)
		f.hits.Hit(limit.FetchSessions)
		return nil, nil, errcode.FetchSessionIDNotFound // and the client asks without one
	}
	s.lasting = true
	if len(passing) > 0 {
		f.hits.Hit(limit.TopicName)
		return s, slices.Concat(s.order, passing), errcode.None
	}
	return s, s.order, errcode.None
}

func entriesOf(req *wire.FetchRequest) []*fetchEntry {
	var out []*fetchEntry
	for i := range req.Topics {
		t := &req.Topics[i]
		for _, p := range t.Partitions {
			e := &fetchEntry{name: t.Name, id: t.ID, index: p.Index}
			e.set(p)
			out = append(out, e)
		}
	}
	return out
}

func (e *fetchEntry) set(p wire.FetchPartition) {
	e.offset, e.maxBytes, e.leaderEpoch, e.lastEpoch = p.FetchOffset, p.MaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch
}

// create makes a session, unless there is no room; the client then goes on
// without one. The session is returned locked.
func (f *fetchSessions) create(c *call, all []*fetchEntry) *fetchSession {
	entries := make([]*fetchEntry, 0, len(all))
	for _, e := range all {
		if e.fits() {
			entries = append(entries, e)
		}
	}
	if len(entries) < len(all) {
		f.hits.Hit(limit.TopicName)
	}
	if len(entries) == 0 {
		return nil
	}
	if len(entries) > f.partitions {
		f.hits.Hit(limit.FetchSessions)
		return nil
	}
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sessions) >= f.max {
		f.hits.Hit(limit.FetchSessions)
		if !f.evict(now) {
			return nil
		}
	}
	s := &fetchSession{
		principal: c.Principal, byID: c.req.Version >= 13, epoch: 1, used: now,
		order: entries, entries: map[entryKey]*fetchEntry{},
	}
	for s.id == 0 || f.sessions[s.id] != nil {
		s.id = rand.Int32()
	}
	for _, e := range entries {
		s.entries[e.key()] = e
	}
	f.sessions[s.id] = s
	s.mu.Lock()
	return s
}

// evict makes room by ending the session unused for the longest time.
func (f *fetchSessions) evict(now time.Time) bool {
	var oldest *fetchSession
	for _, s := range f.sessions {
		if oldest == nil || s.used.Before(oldest.used) {
			oldest = s
		}
	}
	if oldest == nil || now.Sub(oldest.used) < minEviction {
		return false
	}
	delete(f.sessions, oldest.id)
	return true
}

// remove ends a session, if it is the caller's.
func (f *fetchSessions) remove(c *call, id int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sessions[id]; s != nil && s.principal == c.Principal {
		delete(f.sessions, id)
	}
}

// update takes over what an incremental request changes. It returns the entries that
// are to be answered this once and not kept.
func (s *fetchSession) update(req *wire.FetchRequest) (passing []*fetchEntry) {
	for i := range req.Topics {
		t := &req.Topics[i]
		for _, p := range t.Partitions {
			key := entryKey{t.Name, t.ID, p.Index}
			e := s.entries[key]
			if e == nil {
				e = &fetchEntry{name: t.Name, id: t.ID, index: p.Index}
				if e.fits() {
					s.entries[key] = e
					s.order = append(s.order, e)
				} else {
					passing = append(passing, e)
				}
			}
			e.set(p)
		}
	}
	gone := false
	for _, t := range req.Forgotten {
		for _, p := range t.Partitions {
			key := entryKey{t.Name, t.ID, p}
			gone = gone || s.entries[key] != nil
			delete(s.entries, key)
		}
	}
	if gone {
		kept := make([]*fetchEntry, 0, len(s.entries))
		for _, e := range s.order {
			if s.entries[e.key()] == e {
				kept = append(kept, e)
			}
		}
		s.order = kept
	}
	return passing
}

// news says whether the client has to be told of a partition, and remembers what
// it is told. Errors, records and moved marks are news.
func (s *fetchSession) news(e *fetchEntry, a *wire.FetchPartitionResponse) bool {
	news := !e.told || a.ErrorCode != errcode.None || a.Size() > 0 || a.DivergingEpoch != nil ||
		e.high != a.HighWatermark || e.stable != a.LastStableOffset || e.logStart != a.LogStartOffset
	e.told = a.ErrorCode == errcode.None
	e.high, e.stable, e.logStart = a.HighWatermark, a.LastStableOffset, a.LogStartOffset
	e.served = a.Size() > 0
	return news
}

// rotate moves the entries that got records to the end of the order.
func (s *fetchSession) rotate() {
	order := make([]*fetchEntry, 0, len(s.order))
	for _, served := range []bool{false, true} {
		for _, e := range s.order {
			if e.served == served {
				order = append(order, e)
			}
		}
	}
	s.order = order
}

// Len is the number of sessions.
func (f *fetchSessions) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions)
}
