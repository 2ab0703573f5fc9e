package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// scan says which records of a topic to go through.
type scan struct {
	topic string
	// from is where to begin, by partition; only these are read.
	from   map[int32]int64
	bounds map[int32]span
	// follow goes on behind the bounds.
	follow bool
}

// errEnough ends a scan early; it is not returned.
var errEnough = errors.New("enough")

// scan shows each record there is, by time across partitions, and then, if asked
// to follow, new ones as they come.
func (c *Client) scan(ctx context.Context, s scan, show func(*kgo.Record) error) error {
	begin, ends := map[int32]kgo.Offset{}, map[partition]int64{}
	for id, from := range s.from {
		if to := s.bounds[id].end; from < to {
			ends[partition{s.topic, id}] = to
		} else if !s.follow {
			continue
		}
		begin[id] = kgo.NewOffset().At(from)
	}
	if len(begin) == 0 {
		return nil
	}
	client, err := c.connect(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: begin}),
		kgo.KeepControlRecords(), // they count towards the end
	)
	if err != nil {
		return err
	}
	defer client.Close()
	r := &reader{client: client, show: show}
	if err = r.history(ctx, ends); err == nil && s.follow {
		err = r.follow(ctx)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// ahead bounds the records of one partition that wait for those of others.
const ahead = 2000

// reader is a scan under way.
type reader struct {
	client *kgo.Client
	show   func(*kgo.Record) error
	late   []*kgo.Record // behind the bounds, come early
}

// poll returns the next records, control records among them.
func (r *reader) poll(ctx context.Context) ([]*kgo.Record, error) {
	fetches := r.client.PollFetches(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, e := range fetches.Errors() {
		return nil, fmt.Errorf("%s[%d]: %w", e.Topic, e.Partition, e.Err)
	}
	return fetches.Records(), nil
}

// history shows what there was when the reading began, by time.
func (r *reader) history(ctx context.Context, ends map[partition]int64) error {
	parts := make([]partition, 0, len(ends))
	for p := range ends {
		parts = append(parts, p)
	}
	m := newMerger(parts)
	paused := map[partition]bool{}
	quiet := time.Now()
	for {
		for rec := m.next(); rec != nil; rec = m.next() {
			if err := r.show(rec); err != nil {
				return err
			}
		}
		if m.done() {
			return nil
		}
		for p := range paused {
			if m.held(p) < ahead/2 {
				delete(paused, p)
				r.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.id}})
			}
		}
		records, err := r.pollFor(ctx, answerIn-time.Since(quiet))
		if err != nil {
			return err
		}
		if len(records) > 0 {
			quiet = time.Now()
		} else if time.Since(quiet) >= answerIn {
			// Compaction can leave nothing before the end: then what came is all
			// there is, if the cluster still answers.
			if err := r.client.Ping(ctx); err != nil {
				return fmt.Errorf("the cluster stopped answering: %w", err)
			}
			for p := range ends {
				m.end(p)
			}
		}
		for _, rec := range records {
			p := partition{rec.Topic, rec.Partition}
			end, known := ends[p]
			if !known || rec.Offset >= end {
				r.late = append(r.late, rec) // came meanwhile
				continue
			}
			if !rec.Attrs.IsControl() {
				m.add(rec)
			}
			if rec.Offset+1 >= end {
				m.end(p)
			}
			if m.held(p) > ahead && !paused[p] {
				paused[p] = true
				r.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.id}})
			}
		}
	}
}

// pollFor is poll for a while; nothing within it is no error.
func (r *reader) pollFor(ctx context.Context, wait time.Duration) ([]*kgo.Record, error) {
	patience, cancel := context.WithTimeout(ctx, max(wait, time.Millisecond))
	defer cancel()
	records, err := r.poll(patience)
	if err != nil && patience.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return records, err
}

// follow shows new records as they come.
func (r *reader) follow(ctx context.Context) error {
	for records := r.late; ; {
		for _, rec := range records {
			if rec.Attrs.IsControl() {
				continue
			}
			if err := r.show(rec); err != nil {
				return err
			}
		}
		var err error
		if records, err = r.poll(ctx); err != nil {
			return err
		}
	}
}
