package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func nothing() error { return nil }

// TestFrameBudget: one claim goes beyond the size and never waits; others wait for it, in
// their order, and who gives up is in nobody's way.
func TestFrameBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := 0
		b := NewFrameBudget(100, func() { waits++ })
		used := func(want int64) {
			t.Helper()
			synctest.Wait()
			if got := b.Used(); got != want {
				t.Fatalf("%d bytes are claimed, want %d", got, want)
			}
		}
		claim := func() *Claim { return b.Claim(t.Context(), nothing) }
		grow := func(c *Claim, n int) {
			t.Helper()
			if err := c.grow(n); err != nil {
				t.Error(err)
			}
		}
		small, large := claim(), claim()
		grow(small, 60)
		grow(large, 60)
		grow(large, 60) // has the right to
		used(180)
		ctx, cancel := context.WithCancel(t.Context())
		gone := b.Claim(ctx, nothing)
		given := make(chan error, 1)
		go func() { given <- gone.grow(60) }()
		synctest.Wait()
		go grow(small, 30)
		used(180)
		large.shrink(110)
		used(70) // 60 more are too many, and 30 more come behind them
		cancel()
		used(100)
		if err := <-given; !errors.Is(err, context.Canceled) || gone.Held() {
			t.Errorf("who gave up: %v, holds something: %v", err, gone.Held())
		}
		next := claim()
		go grow(next, 20)
		used(100) // the large one still has the right
		large.shrink(10)
		used(110) // and now the next
		small.Release()
		next.Release()
		if used(0); waits != 3 {
			t.Errorf("%d had to wait", waits)
		}
		var none *Claim
		if err := none.grow(1000); err != nil || none.Held() {
			t.Error(err)
		}
		none.shrink(1)
		none.Release()
	})
}

// TestFrameBudgetIsKept: whatever claims grow to, by whatever steps, all of them finish,
// and no more than one is beyond the size.
func TestFrameBudgetIsKept(t *testing.T) {
	const size, largest = 1000, 400
	b := NewFrameBudget(size, nil)
	var most atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			for range 200 {
				c, n := b.Claim(t.Context(), nothing), 0
				for n < largest/2 {
					step := 1 + rng.IntN(largest/2)
					if err := c.grow(step); err != nil {
						t.Error(err)
					}
					n += step
					for used, old := b.Used(), most.Load(); used > old && !most.CompareAndSwap(old, used); {
						old = most.Load()
					}
				}
				c.shrink(n / 3)
				c.Release()
			}
		})
	}
	wg.Wait()
	if b.Used() != 0 || b.over || len(b.queue) > 0 {
		t.Errorf("in the end %d bytes are claimed, beyond: %v, %d wait", b.Used(), b.over, len(b.queue))
	}
	if got := most.Load(); got > size+largest {
		t.Errorf("%d bytes were claimed", got)
	}
}

// TestFramesThatWait: a frame whose beginning has come, and that waits, holds no more than
// that, even where large buffers are there, but for a few.
func TestFramesThatWait(t *testing.T) {
	const size, frame, frames = 4 << 20, partsFrom - 1, 12
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would empty the pools
	var large [2 * frames][]byte
	for i := range large {
		large[i] = GetBuffer(frame)
	}
	for _, b := range large {
		PutBuffer(b)
	}
	in := frameOf(frame, make([]byte, frame)) // the key is that of Produce
	synctest.Test(t, func(t *testing.T) {
		b := NewFrameBudget(size, nil)
		full := b.Claim(t.Context(), nothing)
		if err := full.grow(2 * size); err != nil {
			t.Fatal(err)
		}
		for range frames {
			go func() {
				c := b.Claim(t.Context(), nothing)
				defer c.Release()
				got, rest, err := ReadFrame(bufio.NewReader(bytes.NewReader(in)), testLimits, true, c)
				if err != nil || rest != nil || !bytes.Equal(got, in[4:]) {
					t.Errorf("%d bytes are another frame: %v", len(got), err)
				}
			}()
		}
		synctest.Wait()
		held := int64(0)
		for _, g := range b.queue {
			held += g.n // the buffer that it has
		}
		if len(b.queue) != frames || held > frames*growFrom+size/4 {
			t.Errorf("%d wait, with %d bytes", len(b.queue), held)
		}
		full.Release()
		synctest.Wait()
		if b.used != 0 || b.lent != 0 || b.over {
			t.Errorf("in the end %d bytes are claimed, %d lent, beyond: %v", b.used, b.lent, b.over)
		}
	})
}
