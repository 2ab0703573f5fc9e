package searchsync

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestBatcher: calls are written at once while there is nothing to do, and
// together otherwise; every call gets the outcome of the write it was part of.
func TestBatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes []int
		var at []time.Duration
		begin := time.Now()
		broken := errors.New("broken")
		var fail error
		b := &batcher{every: 20 * time.Millisecond, write: func(docs []Document) error {
			writes, at = append(writes, len(docs)), append(at, time.Since(begin))
			time.Sleep(5 * time.Millisecond)
			return fail
		}}
		defer b.wait()
		errs := make(chan error, 10)
		call := func(ctx context.Context, n int) { go func() { errs <- b.apply(ctx, make([]Document, n)) }() }

		call(t.Context(), 1) // at once
		synctest.Wait()
		call(t.Context(), 2) // these two together, when the time has come
		call(t.Context(), 3)
		time.Sleep(30 * time.Millisecond)
		synctest.Wait()
		for range 3 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		call(t.Context(), 4) // at once again
		synctest.Wait()
		if want := []int{1, 5, 4}; !slices.Equal(writes, want) {
			t.Errorf("documents of the writes: %v, want %v", writes, want)
		}
		if want := []time.Duration{0, 20 * time.Millisecond, 1030 * time.Millisecond}; !slices.Equal(at, want) {
			t.Errorf("writes began at %v, want %v", at, want)
		}
		<-errs

		// A caller that gives up does not take others' documents with it; a failure
		// is everybody's.
		fail = broken
		ctx, cancel := context.WithCancel(t.Context())
		call(ctx, 1)
		synctest.Wait()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled call: %v", err)
		}
		call(t.Context(), 1)
		call(t.Context(), 1)
		for range 2 {
			if err := <-errs; !errors.Is(err, broken) {
				t.Errorf("a failed write: %v", err)
			}
		}
		if err := b.apply(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("a call that was cancelled before: %v", err)
		}
	})
}
