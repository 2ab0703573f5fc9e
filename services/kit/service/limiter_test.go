package service

import (
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := newLimiter(2, func() time.Time { return now })
	take := func(addr string, want bool) {
		t.Helper()
		if _, ok := l.allow(addr); ok != want {
			t.Errorf("allowed %v, want %v", ok, want)
		}
	}
	for range 4 {
		take("1.2.3.4:1000", true) // a burst, from whatever port
	}
	wait, ok := l.allow("1.2.3.4:1001")
	if ok || wait != 1 {
		t.Errorf("fifth: %v, wait %d; want refused, wait 1", ok, wait)
	}
	take("5.6.7.8:1", true)
	now = now.Add(time.Second)
	take("1.2.3.4:1", true)
	take("1.2.3.4:1", true)
	take("1.2.3.4:1", false)
	now = now.Add(2 * time.Minute)
	take("9.9.9.9:1", true)
	if len(l.buckets) != 1 {
		t.Errorf("%d clients remembered, want the last", len(l.buckets))
	}
}
