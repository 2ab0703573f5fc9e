package partition

// Waiter is woken by partitions that may have more to read. One Waiter may be
// registered with many partitions.
//
// Register with Notify, then look again, then wait on C: a change between the look
// and the wait leaves a token in C, so no wake-up is lost. Forget every partition
// at the end.
type Waiter struct {
	c chan struct{}
}

// NewWaiter returns a waiter that is woken once minBytes have become visible in
// the partitions it is registered with, and at any change that is not more bytes:
// an error, a move of the log start, a partition that closes or is deleted.
func NewWaiter(minBytes int) *Waiter { return &Waiter{c: make(chan struct{}, 1)} }

// C receives a token when it is worth looking again.
func (w *Waiter) C() <-chan struct{} { return w.c }

// Reset sets how many more bytes must become visible before the next wake-up.
func (w *Waiter) Reset(minBytes int) {}

// Notify registers w with the partition. iso decides which bytes are visible to it.
func (p *Partition) Notify(w *Waiter, iso Isolation) {}

// Forget removes w.
func (p *Partition) Forget(w *Waiter) {}
