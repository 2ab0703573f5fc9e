package quota

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Client is who asks.
type Client struct {
	User, ID string
}

// Meter measures what is used of quotas. The zero value is ready.
type Meter struct {
	mu      sync.Mutex
	buckets map[uint64]*bucket
	sweepAt int // number of buckets at which the full ones are forgotten

	stats [kinds]struct{ count, nanos atomic.Int64 }
}

// bucket is what is left of one quota.
type bucket struct {
	left float64 // in the quota's unit; below 0 it is owed
	rate float64
	at   time.Time
}

// fill adds what came in since the last time.
func (b *bucket) fill(now time.Time) {
	if since := now.Sub(b.at); since > 0 {
		b.left += b.rate * since.Seconds()
		b.at = now
	}
	b.left = min(b.left, b.full())
}

func (b *bucket) full() float64 { return b.rate * Burst.Seconds() }

// minSweep is how many buckets there may be before any is forgotten. Clients choose
// their ids, so buckets are not kept for ever, and not by the ids themselves.
const minSweep = 1024

var seed = maphash.MakeSeed()

// take fills up the bucket of those who share a quota and lets f use it.
func (m *Meter) take(k Kind, shared Entity, rate float64, now time.Time, f func(*bucket)) {
	key := maphash.Comparable(seed, struct {
		Kind
		Entity
	}{k, shared})
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.buckets[key]
	if b == nil {
		if len(m.buckets) >= max(m.sweepAt, minSweep) {
			m.sweep(now)
		}
		if m.buckets == nil {
			m.buckets = map[uint64]*bucket{}
		}
		b = &bucket{left: rate * Burst.Seconds(), at: now}
		m.buckets[key] = b
	}
	b.rate = rate
	b.fill(now)
	f(b)
}

// sweep forgets the buckets that are full: a new one would be so too.
func (m *Meter) sweep(now time.Time) {
	for key, b := range m.buckets {
		if b.fill(now); b.left >= b.full() {
			delete(m.buckets, key)
		}
	}
	m.sweepAt = 2 * len(m.buckets)
}

// owed is how long it takes until nothing is owed, in whole milliseconds, as clients
// are told it; what the sums are imprecise by is nothing owed.
func owed(debt, rate float64) time.Duration {
	if debt <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(min(debt/rate*1000-1e-6, math.MaxInt32))) * time.Millisecond
}

// throttled counts a client that is held back.
func (m *Meter) throttled(k Kind, d time.Duration) time.Duration {
	if d > 0 {
		m.stats[k].count.Add(1)
		m.stats[k].nanos.Add(int64(d))
	}
	return d
}

// Use uses n of a client's quota and returns how long the client is to be held back
// for it.
func (m *Meter) Use(t Table, k Kind, c Client, n float64, now time.Time) (wait time.Duration) {
	rate, shared, ok := t.find(k, c.User, c.ID)
	if !ok {
		return 0
	}
	m.take(k, shared, rate, now, func(b *bucket) {
		b.left -= n
		wait = owed(-b.left, rate)
	})
	return m.throttled(k, wait)
}

// TryUse uses n of a client's quota if there is as much, or if the client could not
// have saved up more. Else it uses nothing and returns when to try again, at which
// time it will do.
func (m *Meter) TryUse(t Table, k Kind, c Client, n float64, now time.Time) (wait time.Duration) {
	rate, shared, ok := t.find(k, c.User, c.ID)
	if !ok {
		return 0
	}
	m.take(k, shared, rate, now, func(b *bucket) {
		if wait = owed(min(n, b.full())-b.left, rate); wait == 0 {
			b.left -= n
		}
	})
	return m.throttled(k, wait)
}

// Admit uses n of a client's quota if nothing is owed of it yet. Else it uses nothing
// and returns when nothing will be.
func (m *Meter) Admit(t Table, k Kind, c Client, n float64, now time.Time) (wait time.Duration) {
	rate, shared, ok := t.find(k, c.User, c.ID)
	if !ok {
		return 0
	}
	m.take(k, shared, rate, now, func(b *bucket) {
		if wait = owed(-b.left, rate); wait == 0 {
			b.left -= n
		}
	})
	return m.throttled(k, wait)
}

// Connect counts a connection from an address, and returns for how long it is to be
// held before it is refused; 0: it is welcome. As in Kafka that is a second at most,
// and one that is refused is not counted.
func (m *Meter) Connect(t Table, ip string, now time.Time) (wait time.Duration) {
	rate, shared, ok := t.findIP(ip)
	if !ok {
		return 0
	}
	m.take(Connection, shared, rate, now, func(b *bucket) {
		if wait = min(owed(1-b.left, rate), time.Second); wait == 0 {
			b.left--
		}
	})
	return m.throttled(Connection, wait)
}

// Largest is how much of a quota a client can use at once without being held back;
// ok is false when none counts for it.
func (t Table) Largest(k Kind, c Client) (n float64, ok bool) {
	rate, _, ok := t.find(k, c.User, c.ID)
	return rate * Burst.Seconds(), ok
}

// Stats returns how often clients were held back by a kind of quota, and for how long
// together.
func (m *Meter) Stats(k Kind) (count int64, total time.Duration) {
	return m.stats[k].count.Load(), time.Duration(m.stats[k].nanos.Load())
}
