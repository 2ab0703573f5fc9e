package checker

import (
	"cmp"
	"slices"
)

// versionsRise: along orders.v1 an order's versions rise, and its key keeps it
// on one partition: across partitions there is no order to keep.
func (c *check) versionsRise() {
	for id, events := range c.events {
		for i := 1; i < len(events); i++ {
			before, e := events[i-1], events[i]
			if before.Partition != e.Partition {
				c.found.add(Inversion, "order "+id, "on partitions %d and %d of orders.v1", before.Partition, e.Partition)
			}
			if e.Version < before.Version {
				c.found.add(Inversion, "order "+id, "version %d at %s[%d]@%d follows version %d at offset %d",
					e.Version, e.Topic, e.Partition, e.Offset, before.Version, before.Offset)
			}
		}
	}
}

// inboxFollowsOffsets: a group took the records of one key in the order in
// which they stand in their partition.
func (c *check) inboxFollowsOffsets() {
	type lane struct {
		group, topic string
		partition    int32
		key          string
	}
	lanes := map[lane][]InboxRow{}
	for _, row := range c.Inbox {
		l := lane{row.Group, row.Topic, row.Partition, row.Key}
		lanes[l] = append(lanes[l], row)
	}
	for l, rows := range lanes {
		slices.SortFunc(rows, func(a, b InboxRow) int { return cmp.Compare(a.Sequence, b.Sequence) })
		for i := 1; i < len(rows); i++ {
			if before, row := rows[i-1], rows[i]; row.Offset < before.Offset {
				subject := "key " + l.key
				if order := c.eventOrder[row.EventID]; order != "" {
					subject = "order " + order
				}
				c.found.add(Inversion, subject, "group %s took %s[%d]@%d after @%d", l.group, l.topic, l.partition, row.Offset, before.Offset)
			}
		}
	}
}
