// Package alloc is for tests that hold code to what it may allocate.
package alloc

import (
	"runtime"
	"testing"
)

// Bytes is what f allocates, freed or not. Other goroutines count as well: nothing
// else should run.
func Bytes(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// Least is the least that one of many calls of f allocates, or that of the first call
// within bound: what pools keep makes the first call dearer than the rest, and under the
// race detector they forget a quarter of it at random. The calls are so many that code that
// takes six things from pools, and is within bound only when it finds them all, is so in
// one of them, but for once in 10^17.
func Least(bound int64, f func()) int64 {
	used := Bytes(f)
	for range 199 {
		if used <= bound {
			break
		}
		used = min(used, Bytes(f))
	}
	return used
}

// Within fails the test when f, fed with n bytes of input, allocates more than 4 × n
// + 1 MiB, at the Least: bytes that claim much must not cost much.
func Within(t testing.TB, n int, f func()) {
	t.Helper()
	WithinTimes(t, 4, n, f)
}

// WithinTimes is Within for code to which a byte of input costs more than four, for a
// reason that its test gives.
func WithinTimes(t testing.TB, factor, n int, f func()) {
	t.Helper()
	bound := int64(factor)*int64(n) + 1<<20
	if used := Least(bound, f); used > bound {
		t.Fatalf("%d bytes of input made us allocate %d bytes, more than %d times as much and 1 MiB", n, used, factor)
	}
}
