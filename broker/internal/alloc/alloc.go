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

// Within fails the test when f, fed with n bytes of input, allocates more than 4 × n
// + 1 MiB: bytes that claim much must not cost much. What pools keep makes the first
// call dearer than the rest, so a call that is too dear gets a second chance.
func Within(t testing.TB, n int, f func()) {
	t.Helper()
	bound := 4*int64(n) + 1<<20
	if used := Bytes(f); used > bound {
		if used = Bytes(f); used > bound {
			t.Fatalf("%d bytes of input made us allocate %d bytes", n, used)
		}
	}
}
