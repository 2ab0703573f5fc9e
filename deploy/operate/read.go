package operate

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reading says which records to read.
type Reading struct {
	Topic string
	From  Position
	// Partition is the only one to read; negative: all.
	Partition int32
	// Limit ends the reading after so many matching records; 0: no limit.
	Limit int
	// Follow goes on with new records instead of ending with the last one there is.
	Follow bool
	// Match chooses records; nil takes all.
	Match func(Record) bool
}

// ahead bounds the records of one partition that wait for those of others.
const ahead = 2000

// Read gives the records there are to see, by time, and then, if asked to
// follow, new ones as they come. more is whether the limit left some out.
func (c *Client) Read(ctx context.Context, reading Reading, see func(Record) error) (more bool, err error) {
	if _, err := c.existing(ctx, reading.Topic); err != nil {
		return false, err
	}
	at, bounds, err := c.resolve(ctx, reading.Topic, reading.From)
	if err != nil {
		return false, err
	}
	if reading.Partition >= 0 {
		if _, ok := at[reading.Partition]; !ok {
			return false, fmt.Errorf("%s has no partition %d: it has %d, from 0", reading.Topic, reading.Partition, len(at))
		}
		at = map[int32]int64{reading.Partition: at[reading.Partition]}
	}
	r := &reader{Reading: reading, c: c, see: see}
	begin, ends := map[int32]kgo.Offset{}, map[partition]int64{}
	for id, from := range at {
		if to := bounds[id].end; from < to {
			ends[partition{reading.Topic, id}] = to
		} else if !reading.Follow {
			continue
		}
		begin[id] = kgo.NewOffset().At(from)
	}
	if len(begin) == 0 {
		return false, nil
	}
	r.client, err = c.connect(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{reading.Topic: begin}),
		kgo.KeepControlRecords(), // they count towards the end
	)
	if err != nil {
		return false, err
	}
	defer r.client.Close()
	if err := r.history(ctx, ends); err != nil || r.full || !reading.Follow {
		return r.full, err
	}
	return r.full, r.follow(ctx)
}

// reader is a reading under way.
type reader struct {
	Reading
	c      *Client
	client *kgo.Client
	see    func(Record) error
	seen   int
	full   bool // the limit is reached and there is more
	late   []*kgo.Record
}

// show shows one record, if it matches.
func (r *reader) show(ctx context.Context, rec *kgo.Record) error {
	shown, err := r.c.Decode(ctx, rec)
	if err != nil || r.Match != nil && !r.Match(shown) {
		return err
	}
	if r.Limit > 0 && r.seen == r.Limit {
		r.full = true
		return nil
	}
	r.seen++
	return r.see(shown)
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
			if err := r.show(ctx, rec); err != nil || r.full {
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
			if err := r.show(ctx, rec); err != nil {
				return err
			}
			if r.full || r.Limit > 0 && r.seen == r.Limit {
				return nil
			}
		}
		var err error
		if records, err = r.poll(ctx); err != nil {
			return err
		}
	}
}
