package serde

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// A cache loads values by key, each once however many ask at the same time,
// and keeps the most recently used. What it holds never changes, so nothing in
// it expires.
type cache[K comparable, V any] struct {
	size   int
	load   func(context.Context, K) (V, error)
	limit  time.Duration // longest load
	flight singleflight.Group

	mu    sync.Mutex
	order *list.List // of entry[K, V], most recently used first
	index map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newCache[K comparable, V any](size int, limit time.Duration, load func(context.Context, K) (V, error)) *cache[K, V] {
	return &cache[K, V]{size: size, limit: limit, load: load, order: list.New(), index: map[K]*list.Element{}}
}

// get returns the value of key. A load outlives the caller who began it, for
// the sake of the others who wait for it, but not the limit.
func (c *cache[K, V]) get(ctx context.Context, key K) (V, error) {
	if v, ok := c.peek(key); ok {
		return v, nil
	}
	ch := c.flight.DoChan(fmt.Sprintf("%v", key), func() (any, error) {
		if v, ok := c.peek(key); ok {
			return v, nil
		}
		loadCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.limit)
		defer cancel()
		v, err := c.load(loadCtx, key)
		if err == nil {
			c.put(key, v)
		}
		return v, err
	})
	var zero V
	select {
	case r := <-ch:
		if r.Err != nil {
			return zero, r.Err
		}
		return r.Val.(V), nil
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

func (c *cache[K, V]) peek(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.index[key]
	if !ok {
		var zero V
		return zero, false
	}
	c.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

func (c *cache[K, V]) put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.index[key]; ok {
		return
	}
	c.index[key] = c.order.PushFront(entry[K, V]{key, value})
	for c.order.Len() > c.size {
		last := c.order.Back()
		delete(c.index, last.Value.(entry[K, V]).key)
		c.order.Remove(last)
	}
}
