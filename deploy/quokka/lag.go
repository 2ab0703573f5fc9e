package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/term"
)

type lagCmd struct {
	Group []string      `arg:"" optional:"" help:"Only these groups (default: all)."`
	Watch bool          `short:"w" help:"Show it again and again, until Ctrl-C."`
	Every time.Duration `default:"1s" placeholder:"DURATION" help:"How often with --watch."`
	JSON  bool          `name:"json" help:"Print JSON; with --watch an array a line."`
	cluster
}

func (lagCmd) Help() string {
	return `Examples:
  quokka lag
  quokka lag inventory --watch
  quokka lag --json | jq 'map(.lag) | add'

LAG is how many records a group has before it on a topic, BEHIND the age of the first of them. A
dead-letter topic, which its group reads for replays, is listed only while one waits.`
}

func (c *lagCmd) Run(ctx context.Context, out *output) error {
	if c.Every < 100*time.Millisecond {
		return errors.New("--every is at least 100ms")
	}
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		if err := c.show(ctx, client, out); err != nil || !c.Watch {
			return ended(ctx, c.Watch, err)
		}
		if !pause(ctx, c.Every) {
			return nil
		}
	}
}

func (c *lagCmd) show(ctx context.Context, client *operate.Client, out *output) error {
	groups, err := client.Groups(ctx, c.Group...)
	if err != nil {
		return err
	}
	if !c.JSON {
		for i := range groups {
			groups[i], _ = withoutIdleLetters(groups[i])
		}
	}
	lags := topicLags(groups)
	switch {
	case c.JSON && c.Watch:
		return printLine(out, lags)
	case c.JSON:
		return printJSON(out, lags)
	}
	out.out.Redraw(formatLags(out.out, lags, c.Watch))
	return nil
}

// pause waits; false if it was interrupted.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// ended forgets the error of a command that is ended by an interrupt.
func ended(ctx context.Context, endless bool, err error) error {
	if endless && errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

// topicLag is how far a group is behind on a topic.
type topicLag struct {
	Group   string  `json:"group"`
	Topic   string  `json:"topic"`
	Lag     int64   `json:"lag"`
	Seconds float64 `json:"lag_seconds"`
	Members int     `json:"members"`
	// Behind is how many of the topic's partitions have lag.
	Behind     int `json:"partitions_behind"`
	Partitions int `json:"partitions"`
}

// topicLags sums the partitions of each topic of each group.
func topicLags(groups []operate.Group) []topicLag {
	out := []topicLag{}
	for _, g := range groups {
		rows := map[string]*topicLag{}
		readers := map[string]map[string]bool{}
		for _, p := range g.Partitions {
			row := rows[p.Topic]
			if row == nil {
				row = &topicLag{Group: g.Name, Topic: p.Topic}
				rows[p.Topic], readers[p.Topic] = row, map[string]bool{}
			}
			row.Partitions++
			row.Lag += p.Lag
			row.Seconds = max(row.Seconds, p.Behind)
			if p.Lag > 0 {
				row.Behind++
			}
			if p.MemberID != "" {
				readers[p.Topic][p.MemberID] = true
			}
		}
		for topic, row := range rows {
			row.Members = len(readers[topic])
			out = append(out, *row)
		}
	}
	slices.SortFunc(out, func(a, b topicLag) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic))
	})
	return out
}

func formatLags(p *term.Printer, lags []topicLag, watching bool) string {
	if len(lags) == 0 {
		return "  no consumer group has read anything yet\n"
	}
	rows := make([][]string, 0, len(lags))
	for _, l := range lags {
		rows = append(rows, []string{
			l.Group, l.Topic, fmt.Sprint(l.Members), fmt.Sprintf("%d of %d", l.Behind, l.Partitions), term.Count(l.Lag), late(l.Lag, l.Seconds),
		})
	}
	text := p.FormatTable([]term.Column{
		{Title: "GROUP"}, {Title: "TOPIC"}, {Title: "MEMBERS", Right: true}, {Title: "PARTITIONS BEHIND", Right: true},
		{Title: "LAG", Right: true}, {Title: "BEHIND", Right: true},
	}, rows)
	if watching {
		text += fmt.Sprintf("  %s\n", p.Paint(term.Dim, time.Now().Format(time.TimeOnly)))
	}
	return text
}
