package partition

import (
	"testing"
	"unsafe"
)

// TestPendingIsSmall: being able to watch an append costs those nothing that do
// not. The allocator would give the next larger size 20 % more.
func TestPendingIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Pending{}); unsafe.Sizeof(uintptr(0)) == 8 && size > 80 {
		t.Errorf("a Pending has %d bytes, want 80 at most", size)
	}
}
