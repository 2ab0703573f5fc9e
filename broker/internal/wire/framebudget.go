package wire

import (
	"context"
	"math"
	"slices"
	"sync"
)

// FrameBudget bounds the memory of Produce requests' frames, while they come in and are
// done, over all connections. Invariants:
//
//	what is claimed is at most size, but for one claim, which may go beyond it
//	the claim with that right keeps it until it has given back everything, and never waits
//	others wait in the order in which they came
//	what is lent is at most a quarter of size more
//
// So whatever was begun can be finished: a claim that waits, perhaps in the middle of its
// frame, waits for one that goes on.
type FrameBudget struct {
	mu    sync.Mutex
	size  int64
	used  int64
	lent  int64
	over  bool // a claim has the right to go beyond size
	queue []*growth
	full  func()
}

// growth is what a claim waits for.
type growth struct {
	c    *Claim
	n    int64
	done chan struct{} // closed when it has it
}

// NewFrameBudget returns a budget of size bytes. full, if it is not nil, is called when a
// claim has to wait.
func NewFrameBudget(size int64, full func()) *FrameBudget {
	return &FrameBudget{size: size, full: full}
}

// Used is how much is claimed now.
func (b *FrameBudget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Claim returns what one request will hold. It waits for room until ctx ends. renew sets
// anew how long the client may be silent: it is called when the claim has waited, and, while
// the claim IsBeyond, before each piece of what the client has still to send, where
// Rest.Before does not do so.
func (b *FrameBudget) Claim(ctx context.Context, renew func() error) *Claim {
	return &Claim{b: b, ctx: ctx, renew: renew}
}

// Claim is what one request holds of a FrameBudget. With nil nothing is counted. It is in
// one goroutine's hands at a time.
type Claim struct {
	b     *FrameBudget
	ctx   context.Context
	renew func() error
	// Changed under b.mu; whoever has the claim may read them without it.
	n    int64
	over bool
}

// Held says whether there is something to give back.
func (c *Claim) Held() bool { return c != nil && c.n > 0 }

// IsBeyond says whether this is the claim that may go beyond the size: others wait for it.
func (c *Claim) IsBeyond() bool { return c != nil && c.over }

// grow claims n more bytes, when there is room for them.
func (c *Claim) grow(n int) error {
	if c == nil {
		return nil
	}
	b := c.b
	g := &growth{c: c, n: int64(n)}
	b.mu.Lock()
	if (len(b.queue) == 0 || c.over) && b.grant(g) {
		b.mu.Unlock()
		return nil
	}
	g.done = make(chan struct{})
	b.queue = append(b.queue, g)
	b.mu.Unlock()
	if b.full != nil {
		b.full()
	}
	select {
	case <-g.done:
		return c.renew()
	case <-c.ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.queue, g); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
		b.serve() // it may have been in the way
	}
	return c.ctx.Err()
}

// lend says whether a buffer of n bytes may be taken that the claim does not have, and
// perhaps has to wait for. It is to be repaid.
func (c *Claim) lend(n int) bool {
	if c == nil {
		return true
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.b.lent+int64(n) > c.b.size/4 {
		return false
	}
	c.b.lent += int64(n)
	return true
}

// repay ends what lend has allowed.
func (c *Claim) repay(n int) {
	if c == nil {
		return
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.lent -= int64(n)
}

// grant gives a claim what it asks for, if it may have that now. mu is held.
func (b *FrameBudget) grant(g *growth) bool {
	if b.used+g.n > b.size && !g.c.over {
		if b.over {
			return false
		}
		b.over, g.c.over = true, true
	}
	b.used += g.n
	g.c.n += g.n
	return true
}

// serve grants what those who wait can have now. mu is held.
func (b *FrameBudget) serve() {
	for len(b.queue) > 0 && b.grant(b.queue[0]) {
		close(b.queue[0].done)
		b.queue = slices.Delete(b.queue, 0, 1)
	}
}

// shrink gives n bytes back, or what is left of them.
func (c *Claim) shrink(n int) {
	if !c.Held() {
		return
	}
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	back := min(int64(n), c.n)
	b.used -= back
	if c.n -= back; c.n == 0 && c.over {
		b.over, c.over = false, false
	}
	b.serve()
}

// Release gives back everything; the claim may be used again then.
func (c *Claim) Release() { c.shrink(math.MaxInt) }
