package wire

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestBudget: a charge waits until there is room, one alone always fits, and who
// gives up has taken nothing.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := 0
		b := NewBudget(100, func() { waits++ })
		take := func(n int64) func() {
			t.Helper()
			release, err := b.Take(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			return release
		}
		first, second := take(60), take(40)
		if b.Used() != 100 || waits != 0 {
			t.Errorf("%d used, %d waits", b.Used(), waits)
		}
		var got bool
		go func() {
			release := take(50)
			got = true
			release()
		}()
		synctest.Wait()
		second()
		synctest.Wait()
		if got || waits != 1 {
			t.Errorf("too little is free: taken %v, %d waits", got, waits)
		}
		first()
		synctest.Wait()
		if !got || b.Used() != 0 {
			t.Errorf("enough is free: taken %v, %d used", got, b.Used())
		}
		large := take(1000)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Take(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever gives up gets %v", err)
		}
		large()
		if b.Used() != 0 {
			t.Errorf("%d used", b.Used())
		}
	})
}
