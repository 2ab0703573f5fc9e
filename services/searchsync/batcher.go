package searchsync

import (
	"context"
	"sync"
	"time"
)

// batcher makes one write of the calls that come while another write is under
// way, and begins no two writes within a given time: what a write costs an index
// hardly depends on how many documents it has. A call that finds nothing under
// way is written at once.
type batcher struct {
	write func([]Document) error
	every time.Duration

	mu      sync.Mutex
	next    *write // collects calls; nil: nobody waits
	running bool
	work    sync.WaitGroup
}

// write is one write to come. err is read after done is closed.
type write struct {
	docs []Document
	done chan struct{}
	err  error
}

// apply returns when the documents are written, or when ctx ends: then they may
// be or become written all the same.
func (b *batcher) apply(ctx context.Context, docs []Document) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := b.join(docs)
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *batcher) join(docs []Document) *write {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = &write{done: make(chan struct{})}
	}
	b.next.docs = append(b.next.docs, docs...)
	if !b.running {
		b.running = true
		b.work.Go(b.run)
	}
	return b.next
}

// run writes until nobody waits and the next write may begin at once.
func (b *batcher) run() {
	for w := b.take(); w != nil; w = b.take() {
		pause := time.NewTimer(b.every)
		w.err = b.write(w.docs)
		close(w.done)
		<-pause.C
	}
}

func (b *batcher) take() *write {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.next
	b.next, b.running = nil, w != nil
	return w
}

// wait returns when nothing is under way.
func (b *batcher) wait() { b.work.Wait() }
