package service

import (
	"math"
	"net"
	"sync"
	"time"
)

// limiter is a token bucket per client address. The nil limiter allows all.
type limiter struct {
	rate  float64
	burst float64
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter(rate float64, now func() time.Time) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: rate, burst: max(1, 2*rate), now: now, buckets: map[string]*bucket{}, swept: now()}
}

// allow takes a token of the client's bucket. If there is none it returns after
// how many seconds there will be one.
func (l *limiter) allow(remoteAddr string) (wait int, ok bool) {
	if l == nil {
		return 0, true
	}
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		host = remoteAddr
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.sweep(now)
	b := l.buckets[host]
	if b == nil {
		b = &bucket{tokens: l.burst, at: now}
		l.buckets[host] = b
	}
	b.tokens = min(l.burst, b.tokens+l.rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return int(math.Ceil((1 - b.tokens) / l.rate)), false
	}
	b.tokens--
	return 0, true
}

// sweep forgets, once a minute, clients whose bucket is full again: they are as
// good as new, and the map stays as small as the number of active clients.
func (l *limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for host, b := range l.buckets {
		if b.tokens+l.rate*now.Sub(b.at).Seconds() >= l.burst {
			delete(l.buckets, host)
		}
	}
}
