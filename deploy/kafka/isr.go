package kafka

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// PrintISR prints the leader, replicas and in-sync replicas of each partition
// of the topics whose names begin with prefix.
func (c *Cluster) PrintISR(ctx context.Context, w io.Writer, prefix string) error {
	about, err := metadata(ctx, c.Addrs()...)
	if err != nil {
		return err
	}
	var alive []string
	for _, b := range about.Brokers {
		alive = append(alive, fmt.Sprint(b.NodeID))
	}
	slices.Sort(alive)
	fmt.Fprintf(w, "nodes %s\n", strings.Join(alive, " "))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "topic\tpartition\tleader\tepoch\treplicas\tin sync")
	for _, t := range about.Topics.Sorted() {
		if !strings.HasPrefix(t.Topic, prefix) {
			continue
		}
		for _, p := range t.Partitions.Sorted() {
			short := ""
			if len(p.ISR) < len(p.Replicas) {
				short = "  ← short"
			}
			leader := fmt.Sprint(p.Leader)
			if p.Leader < 0 {
				leader = "none"
			}
			fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%s\t%s%s\n", t.Topic, p.Partition, leader, p.LeaderEpoch, ids(p.Replicas), ids(p.ISR), short)
		}
	}
	return table.Flush()
}

func ids(nodes []int32) string {
	sorted := slices.Sorted(slices.Values(nodes))
	return strings.Trim(fmt.Sprint(sorted), "[]")
}
