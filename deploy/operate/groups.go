package operate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Group is a consumer group with its members and how far it is.
type Group struct {
	Name string `json:"group"`
	// State is Kafka's: Stable, PreparingRebalance, CompletingRebalance, Empty,
	// Dead; of the newer protocol also Assigning and Reconciling.
	State      string          `json:"state"`
	Protocol   string          `json:"protocol"` // classic or consumer (KIP-848)
	Assignor   string          `json:"assignor,omitempty"`
	Members    []Member        `json:"members"`
	Partitions []GroupProgress `json:"partitions"`
}

// Member is a member of a group.
type Member struct {
	ID       string `json:"member_id"`
	ClientID string `json:"client_id"`
	Host     string `json:"host"`
	Instance string `json:"instance_id,omitempty"`
	// Assigned are its partitions by topic.
	Assigned map[string][]int32 `json:"assigned"`
}

// GroupProgress is how far a group is on one partition.
type GroupProgress struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// MemberID and ClientID name who reads it, empty if nobody does.
	MemberID string `json:"member_id,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	// Committed is the offset the group goes on at; -1 if it has committed none.
	Committed int64 `json:"committed"`
	Start     int64 `json:"start"`
	End       int64 `json:"end"`
	// Lag is how many offsets lie between Committed, or Start, and End; 0 where
	// only the markers of transactions do.
	Lag int64 `json:"lag"`
	// Behind is the age of the first record the group has not done, in seconds.
	Behind float64 `json:"lag_seconds"`
}

// position is where the group goes on reading.
func (p GroupProgress) position() int64 { return max(p.Committed, p.Start) }

// Lag is the sum over the partitions, and the greatest age.
func (g Group) Lag() (records int64, seconds float64) {
	for _, p := range g.Partitions {
		records += p.Lag
		seconds = max(seconds, p.Behind)
	}
	return records, seconds
}

// Topics are the topics that the group reads or has read, sorted.
func (g Group) Topics() []string {
	var out []string
	for _, p := range g.Partitions {
		if !slices.Contains(out, p.Topic) {
			out = append(out, p.Topic)
		}
	}
	return out
}

// UnknownGroupError says that a group does not exist.
type UnknownGroupError struct {
	Group string
	Known []string
}

func (e *UnknownGroupError) Error() string {
	return fmt.Sprintf("there is no group %s; there are: %s", e.Group, orNone(e.Known))
}

// Groups describes these groups, or all there are, by name.
func (c *Client) Groups(ctx context.Context, names ...string) ([]Group, error) {
	listed, err := c.admin.ListGroups(ctx)
	if err != nil && !partial(err) {
		return nil, fmt.Errorf("list the groups: %w", err)
	}
	known := slices.DeleteFunc(listed.Groups(), func(name string) bool {
		kind := listed[name].ProtocolType
		return kind != "" && kind != "consumer"
	})
	slices.Sort(known)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, &UnknownGroupError{name, known}
		}
	}
	if len(names) == 0 {
		names = known
	}
	if len(names) == 0 {
		return []Group{}, nil
	}
	groups, err := c.members(ctx, names)
	if err != nil {
		return nil, err
	}
	if err := c.progress(ctx, groups); err != nil {
		return nil, err
	}
	return groups, nil
}

// members describes groups without their offsets.
func (c *Client) members(ctx context.Context, names []string) ([]Group, error) {
	classic, err := c.admin.DescribeGroups(ctx, names...)
	if err != nil && !partial(err) {
		return nil, fmt.Errorf("describe the groups: %w", err)
	}
	var newer []string
	out := map[string]Group{}
	for _, name := range names {
		// A group of the newer protocol is unknown, or dead, to the older request.
		if g, ok := classic[name]; ok && g.Err == nil && g.State != "Dead" {
			out[name] = fromClassic(g)
		} else {
			newer = append(newer, name)
		}
	}
	if len(newer) > 0 {
		// Clusters before Kafka 4 may not know the request: then there are none.
		described, _ := c.admin.DescribeConsumerGroups(ctx, newer...)
		for _, name := range newer {
			if g, ok := described[name]; ok && g.Err == nil {
				out[name] = fromConsumer(g)
				continue
			}
			g := classic[name]
			if g.Err != nil {
				return nil, fmt.Errorf("describe group %s: %w", name, g.Err)
			}
			out[name] = fromClassic(g)
		}
	}
	return slices.SortedFunc(maps.Values(out), func(a, b Group) int { return cmp.Compare(a.Name, b.Name) }), nil
}

func fromClassic(d kadm.DescribedGroup) Group {
	g := Group{Name: d.Group, State: d.State, Protocol: "classic", Assignor: d.Protocol, Members: []Member{}}
	for _, m := range d.Members {
		member := Member{ID: m.MemberID, ClientID: m.ClientID, Host: host(m.ClientHost), Assigned: map[string][]int32{}}
		if m.InstanceID != nil {
			member.Instance = *m.InstanceID
		}
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				member.Assigned[t.Topic] = slices.Sorted(slices.Values(t.Partitions))
			}
		}
		g.Members = append(g.Members, member)
	}
	return g.sorted()
}

func fromConsumer(d kadm.DescribedConsumerGroup) Group {
	g := Group{Name: d.Group, State: d.State, Protocol: "consumer", Assignor: d.AssignorName, Members: []Member{}}
	for _, m := range d.Members {
		member := Member{ID: m.MemberID, ClientID: m.ClientID, Host: host(m.ClientHost), Assigned: map[string][]int32{}}
		if m.InstanceID != nil {
			member.Instance = *m.InstanceID
		}
		for topic, ids := range m.Assignment {
			member.Assigned[topic] = slices.Sorted(maps.Keys(ids))
		}
		g.Members = append(g.Members, member)
	}
	return g.sorted()
}

func (g Group) sorted() Group {
	slices.SortFunc(g.Members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.ID, b.ID))
	})
	return g
}

// host is an address as brokers report it, without the slash of Java.
func host(text string) string { return strings.TrimPrefix(text, "/") }

// progress fills in how far the groups are.
func (c *Client) progress(ctx context.Context, groups []Group) error {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	committed := c.admin.FetchManyOffsets(ctx, names...)
	topics := map[string]bool{}
	for _, g := range groups {
		fetched := committed[g.Name]
		if fetched.Err != nil {
			return fmt.Errorf("read the offsets of group %s: %w", g.Name, fetched.Err)
		}
		for topic := range fetched.Fetched {
			topics[topic] = true
		}
		for _, m := range g.Members {
			for topic := range m.Assigned {
				topics[topic] = true
			}
		}
	}
	if len(topics) == 0 {
		return nil
	}
	wanted := slices.Sorted(maps.Keys(topics))
	starts, err := c.admin.ListStartOffsets(ctx, wanted...)
	if err != nil && !partial(err) {
		return fmt.Errorf("list the start offsets: %w", err)
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, wanted...)
	if err != nil && !partial(err) {
		return fmt.Errorf("list the end offsets: %w", err)
	}
	for i := range groups {
		g := &groups[i]
		g.Partitions = assemble(g.Members, committed[g.Name].Fetched, starts, ends)
		if err := c.firsts(ctx, g.Partitions, time.Now()); err != nil {
			return fmt.Errorf("read what group %s has before it: %w", g.Name, err)
		}
	}
	return nil
}

// assemble joins who reads what, what is committed and what there is.
// Partitions that do not exist any more are left out.
func assemble(members []Member, committed kadm.OffsetResponses, starts, ends kadm.ListedOffsets) []GroupProgress {
	readers := map[partition]Member{}
	all := map[partition]bool{}
	for _, m := range members {
		for topic, ids := range m.Assigned {
			for _, id := range ids {
				readers[partition{topic, id}] = m
				all[partition{topic, id}] = true
			}
		}
	}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			all[partition{o.Topic, o.Partition}] = true
		}
	})
	out := make([]GroupProgress, 0, len(all))
	for p := range all {
		end, ok := ends.Lookup(p.topic, p.id)
		if !ok || end.Err != nil {
			continue
		}
		start, _ := starts.Lookup(p.topic, p.id)
		row := GroupProgress{
			Topic: p.topic, Partition: p.id, MemberID: readers[p].ID, ClientID: readers[p].ClientID,
			Committed: -1, Start: start.Offset, End: end.Offset,
		}
		if o, ok := committed.Lookup(p.topic, p.id); ok && o.Err == nil {
			row.Committed = o.At
		}
		row.Lag = max(0, row.End-row.position())
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b GroupProgress) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out
}
