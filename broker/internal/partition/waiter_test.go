package partition

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
)

// TestWaiterIsNotLost appends and waits from both sides as fast as they can.
func TestWaiterIsNotLost(t *testing.T) {
	e := newEnv(t, func(e *env) { e.flush = commitlog.FlushOS })
	const n = 2000
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := NewWaiter(1)
			e.Notify(w, ReadUncommitted)
			defer e.Forget(w)
			for next := int64(0); next < n; {
				res, err := e.Read(next, 1<<20, ReadUncommitted, true)
				if err != nil {
					t.Error(err)
					return
				}
				if got := offsets(t, res.Records); len(got) > 0 {
					if got[0] != next {
						t.Errorf("read %d at %d", got[0], next)
						return
					}
					next = got[len(got)-1] + 1
					continue
				}
				select {
				case <-w.C():
				case <-time.After(2 * time.Minute):
					t.Error("a wake-up was lost")
					return
				}
			}
		})
	}
	for range n {
		e.append(batch(1, 10), Client)
	}
	wg.Wait()
}

func TestWaiterCountsBytes(t *testing.T) {
	e := newEnv(t, nil)
	b := batch(1, 100)
	w := NewWaiter(3 * len(b))
	e.Notify(w, ReadUncommitted)
	for i := range 3 {
		select {
		case <-w.C():
			t.Fatalf("woken after %d batches", i)
		default:
		}
		e.durable(bytes.Clone(b), Client)
	}
	wait(t, w.c)
}
