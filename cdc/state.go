package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// state is a source's progress. It lives on the Kafka cluster whose topics it
// describes: if that is lost, it is lost with it, and nothing is believed to be
// written that is not.
type state struct {
	Source   string `json:"source"`
	Database string `json:"database"`
	Slot     string `json:"slot"`
	// SystemID and Timeline are of the server the position belongs to.
	SystemID string `json:"system_identifier"`
	Timeline int    `json:"timeline"`
	// Position: every change that committed before it is written, but for the
	// tables not in Tables. Zero while the slot is being made.
	Position pgoutput.LSN `json:"position"`
	// Tables are those whose rows have been read, by name with schema, and their
	// object ids: a table created anew under an old name has not been read.
	Tables map[string]uint32 `json:"tables"`
	// Epoch counts the instances that had the lease. What an instance writes
	// after it lost the lease has a lower one than what its successor wrote.
	Epoch     int64     `json:"epoch"`
	UpdatedAt time.Time `json:"updated_at"`
}

// stateStore keeps a source's progress in a compacted topic of one partition.
type stateStore struct {
	client *kgo.Client
	opts   []kgo.Opt // for the reading client
	topic  string
	key    string
}

// load returns the progress, nil if there is none.
func (s *stateStore) load(ctx context.Context) (*state, error) {
	admin := kadm.NewClient(s.client)
	if err := s.create(ctx, admin); err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, s.topic)
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", s.topic, err)
	}
	end, ok := ends.Lookup(s.topic, 0)
	if !ok || end.Err != nil {
		return nil, fmt.Errorf("read topic %s: %w", s.topic, errors.Join(end.Err, ends.Error()))
	}
	if end.Offset == 0 {
		return nil, nil
	}
	return s.read(ctx, end.Offset)
}

func (s *stateStore) create(ctx context.Context, admin *kadm.Client) error {
	_, err := admin.CreateTopic(ctx, 1, -1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, s.topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", s.topic, err)
	}
	return nil
}

// read reads the topic up to end.
func (s *stateStore) read(ctx context.Context, end int64) (*state, error) {
	// Compaction leaves the last record of a topic, so the end is always reached;
	// the deadline is for a broker that does not answer.
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(append(s.opts[:len(s.opts):len(s.opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: {0: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		return nil, err
	}
	defer client.CloseAllowingRebalance()
	var found *state
	for next := int64(0); next < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("read topic %s: %w", s.topic, err)
		}
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("read topic %s: %w", s.topic, e.Err)
		}
		for r := range fetches.RecordsAll() {
			next = r.Offset + 1
			if string(r.Key) != s.key {
				continue
			}
			if found, err = latest(found, r.Value); err != nil {
				return nil, fmt.Errorf("topic %s, offset %d: %w", s.topic, r.Offset, err)
			}
		}
	}
	return found, nil
}

// latest returns what value says, unless found is of a later epoch. A record
// without value means that there is no progress.
func latest(found *state, value []byte) (*state, error) {
	if value == nil {
		return nil, nil
	}
	st := &state{}
	if err := json.Unmarshal(value, st); err != nil {
		return nil, fmt.Errorf("not cdc's progress: %w", err)
	}
	if found != nil && found.Epoch > st.Epoch {
		return found, nil
	}
	return st, nil
}

// save stores progress and returns when the broker has it, or ctx ends. What is
// under way then may still arrive: an idempotent producer cannot take a record back
// once it has tried to send it, and so would wait for a broker that is gone.
func (s *stateStore) save(ctx context.Context, st *state) error {
	st.UpdatedAt = time.Now().UTC()
	value, err := json.Marshal(st)
	if err != nil {
		return err
	}
	r := &kgo.Record{Topic: s.topic, Partition: 0, Key: []byte(s.key), Value: value}
	acked := make(chan error, 1)
	s.client.Produce(ctx, r, func(_ *kgo.Record, err error) { acked <- err })
	select {
	case err = <-acked:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("store progress in topic %s: %w", s.topic, err)
	}
	return nil
}
