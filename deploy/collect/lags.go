package collect

import (
	"cmp"
	"context"
	"slices"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/schemas"
)

// readLags compares what the groups have committed with the ends of their
// topics. Log lines never stop coming, so logs.v1 is left out.
func (c *Collector) readLags(ctx context.Context, f *checker.Facts) error {
	topicsOf := map[string][]string{}
	var topics []string
	for _, t := range schemas.Topics() {
		if t.Name == schemas.TopicLogs {
			continue
		}
		topics = append(topics, t.Name)
		for _, group := range t.Groups {
			topicsOf[group] = append(topicsOf[group], t.Name)
		}
	}
	starts, err := c.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	for group, names := range topicsOf {
		committed, err := c.admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		for _, topic := range names {
			for id, end := range ends[topic] {
				if end.Err != nil {
					continue
				}
				last := end.Offset
				if known, ok := c.topics.ends[partition{topic, id}]; ok {
					last = known // not counting the control records at the end
				}
				var at int64
				if start, ok := starts.Lookup(topic, id); ok {
					at = start.Offset
				}
				if offset, ok := committed.Lookup(topic, id); ok && offset.Err == nil {
					at = max(at, offset.At)
				}
				f.Lags = append(f.Lags, checker.Lag{Group: group, Topic: topic, Partition: id, Records: max(0, last-at)})
			}
		}
	}
	slices.SortFunc(f.Lags, func(a, b checker.Lag) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return nil
}
