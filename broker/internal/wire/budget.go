package wire

import (
	"context"
	"sync"
)

// Budget bounds the memory that requests take while kmsg decodes them and they
// are handled. A request is charged before it is decoded; while there is nothing
// left its connection waits, and is not read.
type Budget struct {
	mu   sync.Mutex
	left int64
	size int64
	wait chan struct{} // closed when something was given back
	full func()
}

// NewBudget returns a budget of size bytes. full, if it is not nil, is called when a
// charge has to wait.
func NewBudget(size int64, full func()) *Budget {
	return &Budget{left: size, size: size, wait: make(chan struct{}), full: full}
}

// Used is how much is charged now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size - b.left
}

// Check walks the request's body and returns what decoding it may allocate.
func (b *Budget) Check(req *Request) (int64, error) { return charge(req) }

// Acquire charges for a request, waiting for room, and returns what gives it
// back. A body that is malformed is refused here, before kmsg sees it.
func (b *Budget) Acquire(ctx context.Context, req *Request) (release func(), err error) {
	n, err := charge(req)
	if err != nil {
		return nil, err
	}
	return b.Take(ctx, n)
}

// Take charges n bytes, waiting for room, and returns what gives them back. One
// charge alone always fits.
func (b *Budget) Take(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, b.size)
	for waited := false; ; waited = true {
		b.mu.Lock()
		if b.left >= n {
			b.left -= n
			b.mu.Unlock()
			return func() { b.release(n) }, nil
		}
		wait := b.wait
		b.mu.Unlock()
		if !waited && b.full != nil {
			b.full()
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *Budget) release(n int64) {
	b.mu.Lock()
	b.left += n
	close(b.wait)
	b.wait = make(chan struct{})
	b.mu.Unlock()
}
