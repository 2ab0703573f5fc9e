package main

import "testing"

func TestRatios(t *testing.T) {
	ours := []figures{{produced: 20}, {produced: 30}, {produced: 90}}
	theirs := []figures{{produced: 10}, {produced: 10}, {produced: 10}}
	of := func(f figures) float64 { return f.produced }
	if got, want := ratios(ours, theirs, of), "3.00 (2.00–9.00)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := ratios(ours, nil, of); got != "–" {
		t.Errorf("without a peer: %s", got)
	}
}

// TestMatrix: the names are distinct, and every round divides evenly among its
// producers, so that consumers know how many records to wait for.
func TestMatrix(t *testing.T) {
	names := map[string]bool{}
	for _, c := range matrix(96 << 20) {
		if names[c.name] {
			t.Errorf("two cells are called %s", c.name)
		}
		names[c.name] = true
		if n := c.records(); n == 0 || n%c.producers != 0 {
			t.Errorf("%s: %d records of %d producers", c.name, n, c.producers)
		}
	}
}
