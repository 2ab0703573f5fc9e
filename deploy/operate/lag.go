package operate

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// firsts looks at the first record that the group has not done on each
// partition with lag: its age is the lag in seconds, and where only the markers
// of transactions are left there is no lag.
func (c *Client) firsts(ctx context.Context, rows []GroupProgress, now time.Time) error {
	from := map[partition]int64{}
	ends := map[partition]int64{}
	for _, r := range rows {
		if r.Lag > 0 {
			p := partition{r.Topic, r.Partition}
			from[p], ends[p] = r.position(), r.End
		}
	}
	found, err := c.firstRecords(ctx, from, ends)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if r.Lag == 0 {
			continue
		}
		at, ok := found[partition{r.Topic, r.Partition}]
		if !ok {
			r.Lag = 0
			continue
		}
		if !at.IsZero() {
			r.Behind = max(0, now.Sub(at).Seconds())
		}
	}
	return nil
}

// firstRecords returns the time of the first data record of each partition at
// or behind an offset and before its end; no entry means there is none, the
// zero time that the cluster gave nothing to tell it by.
func (c *Client) firstRecords(ctx context.Context, from, ends map[partition]int64) (map[partition]time.Time, error) {
	found := map[partition]time.Time{}
	if len(from) == 0 {
		return found, nil
	}
	offsets := map[string]map[int32]kgo.Offset{}
	for p, at := range from {
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.Offset{}
		}
		offsets[p.topic][p.id] = kgo.NewOffset().At(at)
	}
	client, err := c.connect(
		kgo.ConsumePartitions(offsets),
		kgo.KeepControlRecords(),
		kgo.FetchMaxPartitionBytes(4<<10), // the first batch comes whole in any case
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	// Compaction can empty a partition's end of records: then none comes.
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	waiting := map[partition]bool{}
	for p := range from {
		waiting[p] = true
	}
	for len(waiting) > 0 {
		fetches := client.PollFetches(patience)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if patience.Err() != nil {
			for p := range waiting {
				found[p] = time.Time{}
			}
			return found, nil
		}
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("%s[%d]: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			p := partition{r.Topic, r.Partition}
			switch {
			case !waiting[p]:
				return
			case !r.Attrs.IsControl():
				found[p] = r.Timestamp
			case r.Offset+1 < ends[p]:
				return
			}
			delete(waiting, p)
			client.PauseFetchPartitions(map[string][]int32{p.topic: {p.id}})
		})
	}
	return found, nil
}
