package cluster

import (
	"context"
	"sync"
)

// producerIDBlock is how many producer ids are taken from the cluster at once.
// What is left of a block is lost with a restart; there are 2^63.
const producerIDBlock = 1000

// ProducerIDs hands out producer ids, each once for ever.
type ProducerIDs struct {
	cluster *Cluster

	mu        sync.Mutex
	next, end int64
}

// NewProducerIDs returns a source of producer ids.
func NewProducerIDs(c *Cluster) *ProducerIDs { return &ProducerIDs{cluster: c} }

// Take returns an id that nobody ever had.
func (p *ProducerIDs) Take(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == p.end {
		var from int64
		err := p.cluster.Update(ctx, func(img *Image) ([]Command, error) {
			from = img.NextProducerID
			return []Command{&AllocateProducerIDs{Next: from + producerIDBlock}}, nil
		})
		if err != nil {
			return -1, err
		}
		p.next, p.end = from, from+producerIDBlock
	}
	id := p.next
	p.next++
	return id, nil
}
