package alloc

import "testing"

func TestBytes(t *testing.T) {
	var keep []byte
	if n := Bytes(func() { keep = make([]byte, 1<<20) }); n < 1<<20 || n > 1<<21 {
		t.Errorf("%d bytes counted, a mebibyte was allocated", n)
	}
	_ = keep
}
