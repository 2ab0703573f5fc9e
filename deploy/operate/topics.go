package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/schemas"
)

// Topic is a topic as the cluster has it, beside what the platform declares.
type Topic struct {
	Name       string      `json:"topic"`
	Internal   bool        `json:"internal"`
	Replicas   int         `json:"replicas"`
	Partitions []Partition `json:"partitions"`
	// Settings are those that are not the cluster's defaults; nil unless asked for.
	Settings []Setting `json:"settings,omitempty"`
	// Declared is what the platform says of the topic, nil if it is none of its.
	Declared *Declared `json:"declared,omitempty"`
}

// Partition is a partition of a topic.
type Partition struct {
	ID     int32   `json:"partition"`
	Leader int32   `json:"leader"` // -1: none
	ISR    []int32 `json:"isr"`
	Start  int64   `json:"start"`
	// End is the offset behind the last record that a reader may see.
	End int64 `json:"end"`
	// Bytes is the size of the leader's log; -1 if the cluster does not tell.
	Bytes int64 `json:"bytes"`
}

// Records is how many offsets the partition keeps. Compaction leaves gaps and
// transactions take offsets for their markers, so records may be fewer.
func (p Partition) Records() int64 { return max(0, p.End-p.Start) }

// Records is the sum over the partitions.
func (t Topic) Records() (n int64) {
	for _, p := range t.Partitions {
		n += p.Records()
	}
	return n
}

// Bytes is the sum over the partitions; -1 if one of them is not known.
func (t Topic) Bytes() (n int64) {
	for _, p := range t.Partitions {
		if p.Bytes < 0 {
			return -1
		}
		n += p.Bytes
	}
	return n
}

// Setting is a configuration with the value it has.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Declared is what schemas.Topics says of a topic.
type Declared struct {
	Key           string   `json:"key"`
	Subjects      []string `json:"subjects,omitempty"`
	Compatibility string   `json:"compatibility,omitempty"`
	// Groups consume the topic.
	Groups []string `json:"groups,omitempty"`
	// DeadLetterOf says, of a dead-letter topic, which group gave up which topic's records.
	DeadLetterOf string `json:"dead_letter_of,omitempty"`
}

// UnknownTopicError says that a topic does not exist, and what its name is like.
type UnknownTopicError struct {
	Topic string
	// Known are the topics that exist.
	Known []string
}

func (e *UnknownTopicError) Error() string {
	return fmt.Sprintf("there is no topic %s; there are: %s", e.Topic, orNone(e.Known))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Topics lists the topics by name; internal ones only if asked for.
func (c *Client) Topics(ctx context.Context, internal bool) ([]Topic, error) {
	details, err := c.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	if !internal {
		for name, d := range details {
			if d.IsInternal || hidden(name) {
				delete(details, name)
			}
		}
	}
	return c.describe(ctx, details)
}

// Topic describes one topic with its settings.
func (c *Client) Topic(ctx context.Context, name string) (Topic, error) {
	details, err := c.existing(ctx, name)
	if err != nil {
		return Topic{}, err
	}
	topics, err := c.describe(ctx, details)
	if err != nil {
		return Topic{}, err
	}
	t := topics[0]
	if t.Settings, err = c.settings(ctx, name); err != nil {
		return t, fmt.Errorf("read the settings of %s: %w", name, err)
	}
	return t, nil
}

// existing returns the metadata of one topic.
func (c *Client) existing(ctx context.Context, name string) (kadm.TopicDetails, error) {
	all, err := c.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	d, ok := all[name]
	if !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
		var known []string
		for other, d := range all {
			if !d.IsInternal && !hidden(other) {
				known = append(known, other)
			}
		}
		slices.Sort(known)
		return nil, &UnknownTopicError{name, known}
	}
	return kadm.TopicDetails{name: d}, nil
}

// hidden topics belong to the software, by the custom of a leading underscore.
func hidden(name string) bool { return strings.HasPrefix(name, "_") }

// describe adds offsets and sizes to the metadata.
func (c *Client) describe(ctx context.Context, details kadm.TopicDetails) ([]Topic, error) {
	names := details.Names()
	if len(names) == 0 {
		return []Topic{}, nil
	}
	starts, err := c.admin.ListStartOffsets(ctx, names...)
	if err != nil && !partial(err) {
		return nil, fmt.Errorf("list the start offsets: %w", err)
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, names...)
	if err != nil && !partial(err) {
		return nil, fmt.Errorf("list the end offsets: %w", err)
	}
	// Sizes need the right to describe the cluster; without it the rest is shown.
	dirs, _ := c.admin.DescribeAllLogDirs(ctx, details.TopicsSet())
	var out []Topic
	for _, d := range details.Sorted() {
		t := Topic{Name: d.Topic, Internal: d.IsInternal || hidden(d.Topic), Declared: declared(d.Topic)}
		for _, p := range d.Partitions.Sorted() {
			t.Replicas = max(t.Replicas, len(p.Replicas))
			start, _ := starts.Lookup(d.Topic, p.Partition)
			end, _ := ends.Lookup(d.Topic, p.Partition)
			t.Partitions = append(t.Partitions, Partition{
				ID: p.Partition, Leader: p.Leader, ISR: p.ISR, Start: start.Offset, End: end.Offset,
				Bytes: bytesOf(dirs, p),
			})
		}
		out = append(out, t)
	}
	return out, nil
}

func bytesOf(dirs kadm.DescribedAllLogDirs, p kadm.PartitionDetail) int64 {
	if at, ok := dirs[p.Leader].LookupPartition(p.Topic, p.Partition); ok {
		return at.Size
	}
	return -1
}

// settings returns the settings that somebody made.
func (c *Client) settings(ctx context.Context, topic string) ([]Setting, error) {
	all, err := c.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	configs, err := all.On(topic, nil)
	if err = cmp.Or(err, configs.Err); err != nil {
		return nil, err
	}
	out := []Setting{}
	for _, s := range configs.Configs {
		if s.Source == kmsg.ConfigSourceDynamicTopicConfig {
			out = append(out, Setting{s.Key, s.MaybeValue()})
		}
	}
	slices.SortFunc(out, func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// declared finds a topic in the platform's declarations.
func declared(name string) *Declared {
	for _, t := range schemas.Topics() {
		if t.Name == name {
			return &Declared{Key: t.Key, Subjects: t.SubjectNames(), Compatibility: t.Compatibility, Groups: t.Groups}
		}
		for _, group := range t.Groups {
			if letters := schemas.DeadLetter(t.Name, group); letters.Name == name {
				return &Declared{Key: letters.Key, DeadLetterOf: fmt.Sprintf("records of %s that group %s gave up", t.Name, group)}
			}
		}
	}
	return nil
}
