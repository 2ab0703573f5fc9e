package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/quokka-stream/quokka/deploy/letters"
	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/term"
)

type dlqCmd struct {
	List   dlqListCmd   `cmd:"" default:"withargs" help:"List the dead-letter topics that have something."`
	Show   dlqShowCmd   `cmd:"" help:"Show dead letters: what failed, where it came from, why."`
	Replay dlqReplayCmd `cmd:"" help:"Give dead letters back to the group that gave them up."`
}

type dlqListCmd struct {
	All  bool `help:"List empty ones too."`
	JSON bool `name:"json" help:"Print JSON."`
	cluster
}

func (dlqListCmd) Help() string {
	return `Examples:
  quokka dlq
  quokka dlq list --json | jq 'map(.open) | add'

A record that a consumer group gives up goes to <topic>.<group>.dlq with its original bytes, and is
OPEN until it is replayed; WAITING is what was replayed and the group has not handled yet.`
}

// dlqTotal is a dead-letter topic as it is listed.
type dlqTotal struct {
	Topic    string     `json:"topic"`
	Group    string     `json:"group"`
	Of       string     `json:"of"`
	Open     int        `json:"open"`
	Waiting  int        `json:"waiting"`
	Replayed int        `json:"replayed"`
	Oldest   *time.Time `json:"oldest_open"` // when the oldest open one was given up
}

func totalsOf(all []operate.DeadLetters) []dlqTotal {
	out := make([]dlqTotal, 0, len(all))
	for _, d := range all {
		row := dlqTotal{Topic: d.Topic, Group: d.Group, Of: d.Of, Open: d.Count(letters.Open), Waiting: d.Count(letters.Waiting), Replayed: d.Count(letters.Replayed)}
		for _, l := range d.Letters {
			if at := l.Record.Timestamp.UTC(); l.State == letters.Open && (row.Oldest == nil || at.Before(*row.Oldest)) {
				row.Oldest = &at
			}
		}
		out = append(out, row)
	}
	return out
}

func (c *dlqListCmd) Run(ctx context.Context, out *output) error {
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := client.DeadLetters(ctx)
	if err != nil {
		return err
	}
	totals := totalsOf(all)
	if c.JSON {
		return printJSON(out, totals)
	}
	printTotals(out.out, totals, c.All, time.Now())
	return nil
}

func printTotals(p *term.Printer, totals []dlqTotal, all bool, now time.Time) {
	var rows [][]string
	open := 0
	for _, t := range totals {
		open += t.Open
		if !all && t.Open+t.Waiting+t.Replayed == 0 {
			continue
		}
		oldest := "-"
		if t.Oldest != nil {
			oldest = age(now.Sub(*t.Oldest).Seconds())
		}
		rows = append(rows, []string{t.Topic, t.Group, fmt.Sprint(t.Open), fmt.Sprint(t.Waiting), fmt.Sprint(t.Replayed), oldest})
	}
	if len(rows) > 0 {
		p.Table([]term.Column{
			{Title: "DEAD-LETTER TOPIC"}, {Title: "GROUP"}, {Title: "OPEN", Right: true}, {Title: "WAITING", Right: true},
			{Title: "REPLAYED", Right: true}, {Title: "OLDEST", Right: true},
		}, rows)
	} else {
		p.Printf("  no dead letters in %s\n", count(int64(len(totals)), "dead-letter topic"))
	}
	if open > 0 {
		p.Printf("  %s\n", p.Paint(term.Dim, "`quokka dlq show` says why; mend the cause, then `quokka dlq replay TOPIC --all`"))
	}
}

type dlqShowCmd struct {
	Topic string `arg:"" optional:"" help:"The dead-letter topic (default: all)."`
	All   bool   `help:"Show those that were replayed, too."`
	Limit int    `default:"20" placeholder:"N" help:"At most so many; 0: no limit (${default})."`
	JSON  bool   `name:"json" help:"Print one JSON object a line."`
	cluster
}

func (dlqShowCmd) Help() string {
	return `Examples:
  quokka dlq show
  quokka dlq show orders.v1.notification.dlq --all
  quokka dlq show --json --limit 0 | jq -r .reason | sort | uniq -c`
}

// shownLetter is a dead letter as it is shown.
type shownLetter struct {
	operate.Record
	Group     string        `json:"group"`
	Original  *originalAt   `json:"original"` // nil: not told
	EventID   string        `json:"event_id,omitempty"`
	OrderID   string        `json:"order_id,omitempty"`
	Attempts  int           `json:"attempts"`
	Replays   int           `json:"replays"`
	Reason    string        `json:"reason"`
	State     letters.State `json:"state"`
	GivenUpAt time.Time     `json:"given_up_at"`
}

type originalAt struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"timestamp"`
}

func (c *dlqShowCmd) Run(ctx context.Context, out *output) error {
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	var names []string
	if c.Topic != "" {
		names = []string{c.Topic}
	}
	all, err := client.DeadLetters(ctx, names...)
	if err != nil {
		return err
	}
	shown, left := 0, 0
	for _, d := range all {
		for _, l := range d.Letters {
			if l.State == letters.Replayed && !c.All {
				continue
			}
			if c.Limit > 0 && shown == c.Limit {
				left++
				continue
			}
			shown++
			s, err := decodedLetter(ctx, client, l)
			if err != nil {
				return err
			}
			if c.JSON {
				if err := printLine(out, s); err != nil {
					return err
				}
				continue
			}
			printLetter(out.out, s)
		}
	}
	switch {
	case c.JSON:
	case shown == 0:
		out.out.Printf("  no dead letters\n")
	case left > 0:
		out.out.Printf("  %s\n", out.out.Paint(term.Dim, fmt.Sprintf("%s more: --limit 0 shows all", term.Count(left))))
	}
	return nil
}

// decodedLetter decodes a letter.
func decodedLetter(ctx context.Context, client *operate.Client, l letters.Letter) (shownLetter, error) {
	record, err := client.Decode(ctx, l.Record)
	s := shownLetter{
		Record: record, Group: l.Group, EventID: l.EventID, OrderID: l.OrderID, Attempts: l.Attempts, Replays: l.Replays,
		Reason: l.Reason, State: l.State, GivenUpAt: record.Time,
	}
	if l.Known {
		s.Original = &originalAt{l.Original.Topic, l.Original.Partition, l.Original.Offset, l.OriginalTime}
	}
	return s, err
}

func printLetter(p *term.Printer, s shownLetter) {
	p.Printf("%s  %s  %s\n", p.Paint(term.Bold, fmt.Sprintf("%s@%d", s.Topic, s.Offset)), stamp(s.GivenUpAt), s.State)
	row := func(label, value string) {
		if value != "" {
			p.Printf("  %s  %s\n", p.Paint(term.Dim, fmt.Sprintf("%-8s", label)), value)
		}
	}
	for i, line := range wrapped(s.Reason, lineWidth-len("         ")) {
		row(map[bool]string{true: "error"}[i == 0], p.Paint(term.Red, line))
	}
	from := "not told by the letter"
	if s.Original != nil {
		from = fmt.Sprintf("%s[%d]@%d of %s", s.Original.Topic, s.Original.Partition, s.Original.Offset, stamp(s.Original.Time))
	}
	row("record", from)
	row("group", s.Group)
	tries := count(int64(s.Attempts), "attempt")
	if s.Replays > 0 {
		tries += ", " + count(int64(s.Replays), "replay") + " before"
	}
	row("tried", tries)
	row("key", oneLine(s.Key))
	row("order", s.OrderID)
	row("event", s.EventID)
	row("type", s.Type)
	if s.Problem != "" {
		row("problem", s.Problem)
	}
	p.Printf("  %s\n\n", indented(s.Value))
}

// wrapped breaks a text into lines between its words.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

type dlqReplayCmd struct {
	Topic   string        `arg:"" help:"The dead-letter topic."`
	Offsets []int64       `arg:"" optional:"" name:"offset" help:"Offsets of letters, as dlq show prints them."`
	All     bool          `help:"All that are open."`
	Event   string        `placeholder:"ID" help:"Those of this event (ce_id)."`
	Order   string        `placeholder:"ID" help:"Those of this order (ce_subject)."`
	DryRun  bool          `help:"Say what would be replayed, change nothing."`
	Rate    float64       `default:"50" placeholder:"N" help:"At most so many a second; 0: no limit (${default})."`
	Force   bool          `help:"Replay what failed again after three replays, too."`
	Wait    time.Duration `default:"30s" placeholder:"DURATION" help:"How long to wait for the group to handle them (${default})."`
	JSON    bool          `name:"json" help:"Print JSON."`
	cluster
}

func (dlqReplayCmd) Help() string {
	return `Examples:
  quokka dlq replay orders.v1.notification.dlq --all --dry-run
  quokka dlq replay orders.v1.notification.dlq 0 3
  quokka dlq replay orders.v1.notification.dlq --order ORDER
  quokka dlq replay orders.v1.notification.dlq --all --rate 10

A replay goes to the one group that gave the record up, as the record it was: no other group sees it,
and the original topic stays as it is. Replaying twice changes nothing; interrupted, the command can be
run again and goes on with the rest. What fails again is a dead letter again, with the new reason.
Exits 1 if something failed again, or was not handled in time.`
}

// replayResult is what became of one letter.
type replayResult struct {
	Offset int64 `json:"offset"`
	// Outcome is handled, failed, waiting, refused or, in a dry run, chosen.
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
	from    string
}

func (c *dlqReplayCmd) Run(ctx context.Context, out *output) error {
	if c.Rate < 0 {
		return errors.New("--rate cannot be negative")
	}
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := client.DeadLetters(ctx, c.Topic)
	if err != nil {
		return err
	}
	chosen, refused, err := found[0].Choose(operate.Choice{Offsets: c.Offsets, Event: c.Event, Order: c.Order, All: c.All, Force: c.Force})
	if err != nil {
		return err
	}
	var results []replayResult
	if !c.DryRun && len(chosen) > 0 {
		err := client.Replay(ctx, chosen, c.Rate, func(n int) {
			out.out.Live("  replaying  %s  %s of %s", term.Bar(n, len(chosen)), term.Count(n), term.Count(len(chosen)))
		})
		if err != nil {
			out.out.Printf("")
			return err
		}
		out.out.Live("  waiting for group %s to handle them …", found[0].Group)
		after, err := client.Await(ctx, c.Topic, c.Wait)
		out.out.Printf("")
		if err != nil {
			return err
		}
		results = outcomes(chosen, after.Letters)
	} else {
		for _, l := range chosen {
			results = append(results, resultOf(l, "chosen", l.Reason))
		}
	}
	for _, r := range refused {
		results = append(results, resultOf(r.Letter, "refused", r.Why))
	}
	if c.JSON {
		if results == nil {
			results = []replayResult{}
		}
		err = printJSON(out, results)
	} else {
		printReplay(out.out, results, c.DryRun)
	}
	return errors.Join(err, c.unfinished(results))
}

func resultOf(l letters.Letter, outcome, detail string) replayResult {
	r := replayResult{Offset: l.Record.Offset, Outcome: outcome, Detail: detail}
	if l.Known {
		r.from = fmt.Sprintf("%s[%d]@%d", l.Original.Topic, l.Original.Partition, l.Original.Offset)
	}
	return r
}

// outcomes says of each letter that was replayed what the book says afterwards.
func outcomes(replayed, after []letters.Letter) []replayResult {
	now := map[letters.Original]letters.Letter{}
	for _, l := range after {
		if l.Known {
			now[l.Original] = l
		}
	}
	out := make([]replayResult, 0, len(replayed))
	for _, l := range replayed {
		switch latest := now[l.Original]; latest.State {
		case letters.Open:
			out = append(out, resultOf(l, "failed", fmt.Sprintf("again, now at offset %d: %s", latest.Record.Offset, latest.Reason)))
		case letters.Waiting:
			out = append(out, resultOf(l, "waiting", "group "+l.Group+" has not handled it yet"))
		default: // or it has expired meanwhile
			out = append(out, resultOf(l, "handled", ""))
		}
	}
	return out
}

func printReplay(p *term.Printer, results []replayResult, dry bool) {
	if len(results) == 0 {
		p.Printf("  nothing to replay\n")
		return
	}
	rows := make([][]string, 0, len(results))
	chosen := 0
	for _, r := range results {
		if r.Outcome == "chosen" {
			chosen++
		}
		rows = append(rows, []string{fmt.Sprint(r.Offset), r.from, r.Outcome, strings.ReplaceAll(r.Detail, "\n", " ")})
	}
	p.Table([]term.Column{{Title: "LETTER", Right: true}, {Title: "RECORD"}, {Title: "OUTCOME"}, {Title: ""}}, rows)
	if dry {
		p.Printf("  a dry run: %s would be replayed, nothing changed\n", count(int64(chosen), "letter"))
	}
}

// unfinished is an error if a letter is not replayed as asked.
func (c *dlqReplayCmd) unfinished(results []replayResult) error {
	n := map[string]int{}
	for _, r := range results {
		n[r.Outcome]++
	}
	switch {
	case n["failed"] > 0:
		return fmt.Errorf("%d of %d failed again: `quokka dlq show %s` says why", n["failed"], len(results), c.Topic)
	case n["waiting"] > 0:
		return fmt.Errorf("%d of %d are not handled yet: is a member of the group running (`quokka groups`)? They stay on the topic for it", n["waiting"], len(results))
	}
	return nil
}
