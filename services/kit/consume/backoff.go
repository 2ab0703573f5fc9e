package consume

import (
	"math/rand/v2"
	"time"
)

// Backoff says how a failing record is tried again.
type Backoff struct {
	// Min is the delay after the first failure; it doubles up to Max. Each delay
	// is spread by ±20 %, so that keys that failed together do not return
	// together. Defaults: 100 ms and 30 s.
	Min, Max time.Duration
	// Budget is how long a key may fail without a success in between before its
	// record goes to the dead-letter topic. Default: 10 minutes. Records queued
	// behind it then get one attempt each until one succeeds.
	Budget time.Duration
}

func (b Backoff) withDefaults() Backoff {
	if b.Min <= 0 {
		b.Min = 100 * time.Millisecond
	}
	if b.Max <= 0 {
		b.Max = 30 * time.Second
	}
	b.Max = max(b.Max, b.Min)
	if b.Budget <= 0 {
		b.Budget = 10 * time.Minute
	}
	return b
}

// delay is the pause after the attempt with this number, counted from 1.
func (b Backoff) delay(attempt int) time.Duration {
	d := b.Max
	if shift := attempt - 1; shift < 30 && b.Min<<shift < b.Max {
		d = b.Min << shift
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
