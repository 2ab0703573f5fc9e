package server

import (
	"testing"
	"time"
)

// TestPace: a second's worth may come at once, then one at a time.
func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	take := func(rate int, want time.Duration) {
		t.Helper()
		if got := max(p.take(rate, now), 0); got != want {
			t.Errorf("waits %s, want %s", got, want)
		}
	}
	for range 10 {
		take(10, 0)
	}
	take(10, 100*time.Millisecond)
	take(10, 200*time.Millisecond)
	now = now.Add(200 * time.Millisecond)
	take(10, 100*time.Millisecond)
	now = now.Add(time.Hour)
	for range 10 {
		take(10, 0)
	}
	take(10, 100*time.Millisecond)
	take(0, 0)
}
