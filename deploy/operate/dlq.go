package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/letters"
	"github.com/quokka-stream/quokka/schemas"
)

// DeadLetters is a dead-letter topic with what is known of its records.
type DeadLetters struct {
	Topic string
	// Group is who gave the records up, Of the topic they are of; empty if neither
	// the platform's declarations nor a letter tells.
	Group, Of string
	Letters   []letters.Letter
}

// Count is how many letters are in a state.
func (d DeadLetters) Count(s letters.State) (n int) {
	for _, l := range d.Letters {
		if l.State == s {
			n++
		}
	}
	return n
}

// DeadLetters reads these dead-letter topics, or all there are, by name.
func (c *Client) DeadLetters(ctx context.Context, names ...string) ([]DeadLetters, error) {
	all, err := c.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	var known []string
	for name := range all {
		if letters.Is(name) {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no dead-letter topic %s; there are: %s", name, orNone(known))
		}
	}
	if len(names) == 0 {
		names = known
	}
	out := make([]DeadLetters, 0, len(names))
	for _, name := range names {
		d, err := c.deadLetters(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func (c *Client) deadLetters(ctx context.Context, name string) (DeadLetters, error) {
	d := DeadLetters{Topic: name}
	d.Of, d.Group = deadLetterOf(name)
	at, bounds, err := c.resolve(ctx, name, Position{})
	if err != nil {
		return d, err
	}
	if d.Group == "" {
		if d.Of, d.Group, err = c.origin(ctx, name, at, bounds); err != nil {
			return d, err
		}
	}
	// The group's offsets first: see package letters.
	done := map[int32]int64{}
	if d.Group != "" {
		committed, err := c.admin.FetchOffsets(ctx, d.Group)
		if err != nil {
			return d, fmt.Errorf("read the offsets of group %s: %w", d.Group, err)
		}
		for id := range at {
			done[id] = -1
			if o, ok := committed.Lookup(name, id); ok && o.Err == nil {
				done[id] = o.At
			}
		}
		if at, bounds, err = c.resolve(ctx, name, Position{}); err != nil {
			return d, err
		}
	}
	books := map[int32]*letters.Book{}
	err = c.scan(ctx, scan{topic: name, from: at, bounds: bounds}, func(r *kgo.Record) error {
		if books[r.Partition] == nil {
			books[r.Partition] = &letters.Book{}
		}
		books[r.Partition].Add(r)
		return nil
	})
	for id, book := range books {
		d.Letters = append(d.Letters, book.Letters(done[id])...)
	}
	slices.SortFunc(d.Letters, func(a, b letters.Letter) int {
		return cmp.Or(cmp.Compare(a.Record.Partition, b.Record.Partition), cmp.Compare(a.Record.Offset, b.Record.Offset))
	})
	return d, err
}

// deadLetterOf finds a dead-letter topic in the platform's declarations.
func deadLetterOf(name string) (topic, group string) {
	for _, t := range schemas.Topics() {
		for _, g := range t.Groups {
			if schemas.DeadLetter(t.Name, g).Name == name {
				return t.Name, g
			}
		}
	}
	return "", ""
}

// origin takes topic and group from the first letter that tells them.
func (c *Client) origin(ctx context.Context, name string, at map[int32]int64, bounds map[int32]span) (topic, group string, err error) {
	err = c.scan(ctx, scan{topic: name, from: at, bounds: bounds}, func(r *kgo.Record) error {
		b := letters.Book{}
		b.Add(r)
		if found := b.Letters(-1); len(found) == 1 && found[0].Known {
			topic, group = found[0].Original.Topic, found[0].Group
			return errEnough
		}
		return nil
	})
	return topic, group, err
}

// MostReplays is how many times a record is replayed before it needs force: a
// record that failed so often fails because of what it is.
const MostReplays = 3

// Choice says which letters to replay.
type Choice struct {
	// Offsets are those of letters; Event and Order choose by ce_id and ce_subject.
	// All chooses all that are open.
	Offsets      []int64
	Event, Order string
	All          bool
	// Force replays what has been replayed MostReplays times, too.
	Force bool
}

// Refused is a letter that was chosen and is not to be replayed.
type Refused struct {
	Letter letters.Letter
	Why    string
}

// Choose returns the letters to replay, in their order, and those that were
// asked for and cannot be. A letter that is not there is an error.
func (d DeadLetters) Choose(c Choice) (chosen []letters.Letter, refused []Refused, err error) {
	if len(c.Offsets) == 0 && c.Event == "" && c.Order == "" && !c.All {
		return nil, nil, errors.New("say which letters: their offsets, --event, --order, or --all")
	}
	missing := slices.Clone(c.Offsets)
	for _, l := range d.Letters {
		named := slices.Contains(c.Offsets, l.Record.Offset)
		missing = slices.DeleteFunc(missing, func(offset int64) bool { return offset == l.Record.Offset })
		wanted := c.Event != "" && l.EventID == c.Event || c.Order != "" && l.OrderID == c.Order
		if !named && !wanted && !(c.All && l.State == letters.Open) {
			continue
		}
		switch {
		case l.State == letters.Replayed:
			refused = append(refused, Refused{l, "it has been replayed"})
		case l.State == letters.Waiting:
			refused = append(refused, Refused{l, "its replay waits for group " + l.Group})
		case !l.Known:
			refused = append(refused, Refused{l, "it does not tell where it came from (headers __dlq.errors.*)"})
		case l.Replays >= MostReplays && !c.Force:
			refused = append(refused, Refused{l, fmt.Sprintf("%d replays failed: mend the cause, then --force", l.Replays)})
		default:
			chosen = append(chosen, l)
		}
	}
	if len(missing) > 0 {
		return nil, nil, fmt.Errorf("%s has no letter at offset %s: `quokka dlq show %s --all` lists them", d.Topic, numbers(missing), d.Topic)
	}
	return chosen, refused, nil
}

func numbers(ns []int64) string {
	texts := make([]string, len(ns))
	for i, n := range ns {
		texts[i] = fmt.Sprint(n)
	}
	return strings.Join(texts, ", ")
}

// Replay asks for the replay of letters, one after the other in their order, at
// most rate a second (0: as fast as the cluster takes them), and calls asked
// after each. What it has asked for is on the topic: if it is interrupted, the
// rest is still open.
func (c *Client) Replay(ctx context.Context, ls []letters.Letter, rate float64, asked func(n int)) error {
	client, err := c.connect(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(MaxValue+1<<20))
	if err != nil {
		return err
	}
	defer client.Close()
	begin := time.Now()
	for i, l := range ls {
		if rate > 0 {
			due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			if err := until(ctx, due); err != nil {
				return err
			}
		}
		if err := client.ProduceSync(ctx, letters.Request(l)).FirstErr(); err != nil {
			return fmt.Errorf("ask for the replay of %s@%d: %w", l.Record.Topic, l.Record.Offset, err)
		}
		asked(i + 1)
	}
	return nil
}

// until waits for a time.
func until(ctx context.Context, due time.Time) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Until(due)):
		return nil
	}
}

// Await waits until the group has handled all requests of a dead-letter topic,
// or until the patience ends, and returns what is known then.
func (c *Client) Await(ctx context.Context, topic string, patience time.Duration) (DeadLetters, error) {
	deadline := time.Now().Add(patience)
	for {
		d, err := c.deadLetters(ctx, topic)
		if err != nil || d.Count(letters.Waiting) == 0 || time.Now().After(deadline) {
			return d, err
		}
		if err := until(ctx, time.Now().Add(200*time.Millisecond)); err != nil {
			return d, err
		}
	}
}
