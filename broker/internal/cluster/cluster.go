package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Log keeps commands. Append returns once the records are durable, all of them or
// none; after an error nothing may be appended any more. Replace puts records in
// the place of everything there is, atomically.
type Log interface {
	Append(records ...[]byte) error
	Replace(records [][]byte) error
}

// Cluster holds the current image and changes it.
type Cluster struct {
	image atomic.Pointer[Image]

	mu       sync.Mutex // serialises Propose
	log      Log
	onChange func(old, new *Image)
}

// Open folds the records of the log, and replaces the log when most of its
// records have been overtaken by later ones.
func Open(log Log, records [][]byte) (*Cluster, error) {
	img := newImage()
	for n, record := range records {
		c, err := decode(record)
		if err == nil {
			err = c.apply(img)
		}
		img.Version++
		if err != nil {
			return nil, fmt.Errorf("cluster log, record %d: %w", n, err)
		}
	}
	c := &Cluster{log: log, onChange: func(*Image, *Image) {}}
	img.finish()
	c.image.Store(img)
	if live := commandsOf(img); len(records) > 100 && len(records) > 2*len(live) {
		var rewritten [][]byte
		for _, cmd := range live {
			record, err := encode(cmd)
			if err != nil {
				return nil, err
			}
			rewritten = append(rewritten, record)
		}
		if err := log.Replace(rewritten); err != nil {
			return nil, fmt.Errorf("rewriting the cluster log: %w", err)
		}
	}
	return c, nil
}

// OnChange registers f to be called after each change, before Propose returns.
// Calls come one at a time, in the order of the changes.
func (c *Cluster) OnChange(f func(old, new *Image)) { c.onChange = f }

// Image returns the current image.
func (c *Cluster) Image() *Image { return c.image.Load() }

// Propose applies the commands, all or none, and returns once they are durable
// and the image shows them. A refusal is an *Error. Where ctx ends before they are
// given to the log, nothing happens and its error is returned.
func (c *Cluster) Propose(ctx context.Context, cmds ...Command) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.propose(ctx, cmds)
}

// Update lets f make commands from the current image, with no other change
// between its reading and their applying. It is Propose otherwise.
func (c *Cluster) Update(ctx context.Context, f func(*Image) ([]Command, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmds, err := f(c.image.Load())
	if err != nil || len(cmds) == 0 {
		return err
	}
	return c.propose(ctx, cmds)
}

func (c *Cluster) propose(ctx context.Context, cmds []Command) error {
	old := c.image.Load()
	img := old.clone()
	var records [][]byte
	for _, cmd := range cmds {
		if err := cmd.apply(img); err != nil {
			return err
		}
		img.Version++
		record, err := encode(cmd)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	// The last moment to give up: once in the log, the commands will be applied.
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := c.log.Append(records...); err != nil {
		return fmt.Errorf("writing the cluster log: %w", err)
	}
	img.finish()
	c.image.Store(img)
	c.onChange(old, img)
	return nil
}
