package collect

import (
	"cmp"
	"context"
	"slices"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/letters"
	"github.com/quokka-stream/quokka/schemas"
)

// readReplayed returns how far each group is on its dead-letter topics.
func (c *Collector) readReplayed(ctx context.Context) (map[partition]int64, error) {
	topics := map[string][]string{}
	for _, t := range schemas.Topics() {
		for _, group := range t.Groups {
			topics[group] = append(topics[group], schemas.DeadLetter(t.Name, group).Name)
		}
	}
	out := map[partition]int64{}
	for group, names := range topics {
		committed, err := c.admin.FetchOffsets(ctx, group)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			for id, offset := range committed[name] {
				if offset.Err == nil {
					out[partition{name, id}] = offset.At
				}
			}
		}
	}
	return out, nil
}

// deadLetters are the records that were given up and have not been replayed.
func (r *topicReader) deadLetters(replayed map[partition]int64) []checker.DeadLetter {
	var out []checker.DeadLetter
	for p, book := range r.letters {
		committed, ok := replayed[p]
		if !ok {
			committed = -1
		}
		for _, l := range book.Letters(committed) {
			if l.State == letters.Replayed {
				continue
			}
			out = append(out, checker.DeadLetter{
				Topic: l.Record.Topic, Partition: l.Record.Partition, Offset: l.Record.Offset,
				EventID: l.EventID, OrderID: l.OrderID, Reason: l.Reason, Waiting: l.State == letters.Waiting,
			})
		}
	}
	slices.SortFunc(out, func(a, b checker.DeadLetter) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}
