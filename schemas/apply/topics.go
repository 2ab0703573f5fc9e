package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/quokka-stream/quokka/schemas"
)

// applyTopics creates what is missing and compares what is there.
func (a *applier) applyTopics(ctx context.Context) error {
	admin := kadm.NewClient(a.kafka)
	all := a.withDeadLetters()
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.Name
	}
	found, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return err
	}
	var existing []schemas.Topic
	for _, t := range all {
		if d, ok := found[t.Name]; ok && d.Err == nil {
			existing = append(existing, t)
			continue
		} else if ok && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s: %w", t.Name, d.Err)
		}
		created, err := a.create(ctx, admin, t)
		if err != nil {
			return err
		}
		if !created {
			existing = append(existing, t)
		}
	}
	// What was created is seen by every broker before Apply returns, so that
	// the services can start.
	if found, err = a.await(ctx, admin, names); err != nil {
		return err
	}
	for _, t := range existing {
		a.comparePartitions(t, int32(len(found[t.Name].Partitions)))
	}
	return a.applyConfigs(ctx, admin, existing)
}

func (a *applier) withDeadLetters() []schemas.Topic {
	var all []schemas.Topic
	for _, t := range a.topics {
		all = append(all, t)
		all = append(all, t.DeadLetters()...)
	}
	return all
}

// create reports false where someone else was faster. Replication factor -1 is
// the cluster's default.
func (a *applier) create(ctx context.Context, admin *kadm.Client, t schemas.Topic) (bool, error) {
	configs := map[string]*string{}
	for k, v := range t.Config {
		configs[k] = kadm.StringPtr(v)
	}
	resp, err := admin.CreateTopic(ctx, t.Partitions, -1, configs, t.Name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return false, nil
	}
	if err != nil {
		if resp.ErrMessage != "" {
			return false, fmt.Errorf("create topic %s: %w: %s", t.Name, err, resp.ErrMessage)
		}
		return false, fmt.Errorf("create topic %s: %w", t.Name, err)
	}
	a.log.InfoContext(ctx, "topic created", "topic", t.Name, "partitions", t.Partitions)
	return true, nil
}

// await returns the topics once all of them have leaders.
func (a *applier) await(ctx context.Context, admin *kadm.Client, names []string) (kadm.TopicDetails, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no leader after %v", patience))
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		found, err := admin.ListTopics(ctx, names...)
		if err != nil {
			return nil, err
		}
		missing := ""
		for _, name := range names {
			if !ready(found[name]) {
				missing = name
			}
		}
		if missing == "" {
			return found, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("topic %s is not ready: %w", missing, context.Cause(ctx))
		}
	}
}

func ready(d kadm.TopicDetail) bool {
	if d.Err != nil || len(d.Partitions) == 0 {
		return false
	}
	for _, p := range d.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return false
		}
	}
	return true
}

// comparePartitions never changes their number: it decides which partition a
// key goes to, so a change would break the order of keys already written.
func (a *applier) comparePartitions(t schemas.Topic, have int32) {
	if have != t.Partitions {
		a.differ("topic "+t.Name, "has %d partitions, declared are %d; changing that would move keys between partitions: migrate to a new topic", have, t.Partitions)
	}
}

// applyConfigs sets the declared configurations that differ. Others are the
// operator's.
func (a *applier) applyConfigs(ctx context.Context, admin *kadm.Client, topics []schemas.Topic) error {
	if len(topics) == 0 {
		return nil
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("describe topic configurations: %w", err)
	}
	for _, t := range topics {
		rc, err := described.On(t.Name, nil)
		if err == nil {
			err = rc.Err
		}
		if err != nil {
			return fmt.Errorf("topic %s: describe configurations: %w", t.Name, err)
		}
		have := map[string]string{}
		for _, c := range rc.Configs {
			have[c.Key] = c.MaybeValue()
		}
		var alter []kadm.AlterConfig
		for _, key := range slices.Sorted(maps.Keys(t.Config)) {
			if have[key] != t.Config[key] {
				alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: kadm.StringPtr(t.Config[key])})
			}
		}
		a.alter(ctx, admin, t, have, alter)
	}
	return nil
}

// alter sets configurations; a cluster that does not let it is a difference.
func (a *applier) alter(ctx context.Context, admin *kadm.Client, t schemas.Topic, have map[string]string, alter []kadm.AlterConfig) {
	if len(alter) == 0 {
		return
	}
	resps, err := admin.AlterTopicConfigs(ctx, alter, t.Name)
	if err == nil {
		var r kadm.AlterConfigsResponse
		if r, err = resps.On(t.Name, nil); err == nil {
			err = r.Err
		}
	}
	for _, c := range alter {
		if err != nil {
			a.differ("topic "+t.Name, "%s is %q, declared is %q, and the cluster does not let it be set: %v", c.Name, have[c.Name], *c.Value, err)
			continue
		}
		a.log.InfoContext(ctx, "topic configured", "topic", t.Name, "config", c.Name, "value", *c.Value, "was", have[c.Name])
	}
}
