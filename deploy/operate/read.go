package operate

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reading says which records to read.
type Reading struct {
	Topic string
	From  Position
	// Partition is the only one to read; negative: all.
	Partition int32
	// Limit ends the reading after so many matching records; 0: no limit.
	Limit int
	// Follow goes on with new records instead of ending with the last one there is.
	Follow bool
	// Match chooses records; nil takes all.
	Match func(Record) bool
}

// Read gives the records there are to see, by time, and then, if asked to
// follow, new ones as they come. more is whether the limit left some out.
func (c *Client) Read(ctx context.Context, reading Reading, see func(Record) error) (more bool, err error) {
	if _, err := c.existing(ctx, reading.Topic); err != nil {
		return false, err
	}
	at, bounds, err := c.resolve(ctx, reading.Topic, reading.From)
	if err != nil {
		return false, err
	}
	if reading.Partition >= 0 {
		if _, ok := at[reading.Partition]; !ok {
			return false, fmt.Errorf("%s has no partition %d: it has %d, from 0", reading.Topic, reading.Partition, len(at))
		}
		at = map[int32]int64{reading.Partition: at[reading.Partition]}
	}
	seen := 0
	err = c.scan(ctx, scan{reading.Topic, at, bounds, reading.Follow}, func(r *kgo.Record) error {
		shown, err := c.Decode(ctx, r)
		if err != nil || reading.Match != nil && !reading.Match(shown) {
			return err
		}
		if reading.Limit > 0 && seen == reading.Limit {
			more = true
			return errEnough
		}
		seen++
		if err := see(shown); err != nil {
			return err
		}
		if reading.Follow && seen == reading.Limit {
			return errEnough // there will always be more
		}
		return nil
	})
	return more, err
}
