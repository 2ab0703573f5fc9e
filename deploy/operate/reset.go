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
)

// ResetPlan is what moving a group's offsets will change.
type ResetPlan struct {
	Group string `json:"group"`
	Topic string `json:"topic"`
	// New is set where the group does not exist yet.
	New   bool   `json:"new,omitempty"`
	Moves []Move `json:"moves"`
}

// Move is the change of one partition's committed offset.
type Move struct {
	Partition int32 `json:"partition"`
	From      int64 `json:"from"` // -1: nothing was committed
	To        int64 `json:"to"`
	// start is the partition's, where a group that has committed nothing begins.
	start int64
}

// Records is how many records the group skips; negative: how many it reads again.
func (m Move) Records() int64 { return m.To - max(m.From, m.start) }

// BusyGroupError says that a group has members, whose offsets nobody else may move.
type BusyGroupError struct {
	Group   string
	Members []Member
}

func (e *BusyGroupError) Error() string {
	names := make([]string, len(e.Members))
	for i, m := range e.Members {
		names[i] = m.ClientID + " on " + m.Host
	}
	return fmt.Sprintf("group %s has members (%s): stop them first, and wait until `quokka groups show %s` shows none", e.Group, strings.Join(names, ", "), e.Group)
}

// PlanReset says what moving a group's offsets of a topic to a position will
// change. A group with members is refused with a *BusyGroupError. A group that
// does not exist yet may be given offsets before its first member comes.
func (c *Client) PlanReset(ctx context.Context, group, topic string, partition int32, to Position) (ResetPlan, error) {
	plan := ResetPlan{Group: group, Topic: topic}
	if _, err := c.existing(ctx, topic); err != nil {
		return plan, err
	}
	groups, err := c.Groups(ctx, group)
	var unknown *UnknownGroupError
	if err != nil && !errors.As(err, &unknown) {
		return plan, err
	}
	committed := kadm.OffsetResponses{}
	if plan.New = err != nil; !plan.New {
		if members := groups[0].Members; len(members) > 0 {
			return plan, &BusyGroupError{group, members}
		}
		if committed, err = c.admin.FetchOffsets(ctx, group); err != nil {
			return plan, fmt.Errorf("read the offsets of group %s: %w", group, err)
		}
	}
	at, bounds, err := c.resolve(ctx, topic, to)
	if err != nil {
		return plan, err
	}
	if _, ok := at[partition]; partition >= 0 && !ok {
		return plan, fmt.Errorf("%s has no partition %d: it has %d, from 0", topic, partition, len(at))
	}
	for id, offset := range at {
		if partition >= 0 && id != partition {
			continue
		}
		m := Move{Partition: id, From: -1, To: offset, start: bounds[id].start}
		if o, ok := committed.Lookup(topic, id); ok && o.Err == nil {
			m.From = o.At
		}
		plan.Moves = append(plan.Moves, m)
	}
	slices.SortFunc(plan.Moves, func(a, b Move) int { return cmp.Compare(a.Partition, b.Partition) })
	return plan, nil
}

// Reset does what was planned.
func (c *Client) Reset(ctx context.Context, plan ResetPlan) error {
	var offsets kadm.Offsets
	for _, m := range plan.Moves {
		offsets.AddOffset(plan.Topic, m.Partition, m.To, -1)
	}
	err := c.admin.CommitAllOffsets(ctx, plan.Group, offsets)
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress) {
		return fmt.Errorf("a member joined group %s meanwhile, nothing changed: stop it and try again", plan.Group)
	}
	if err != nil {
		return fmt.Errorf("move the offsets of group %s: %w", plan.Group, err)
	}
	return nil
}
