package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/letters"
	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/term"
)

type groupsCmd struct {
	List  groupsListCmd  `cmd:"" default:"withargs" help:"List the consumer groups."`
	Show  groupsShowCmd  `cmd:"" help:"Show one group: its members, who reads which partition, how far it is."`
	Reset groupsResetCmd `cmd:"" help:"Move a group's offsets, to replay or to skip."`
}

type groupsListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
	cluster
}

func (groupsListCmd) Help() string {
	return `Examples:
  quokka groups
  quokka groups --json | jq '.[] | {group, state, members: (.members | length)}'

LAG is how many records a group has before it, BEHIND the age of the first of them. A group's
dead-letter topics, which it reads for replays, count only while one waits.`
}

// withoutIdleLetters leaves out the dead-letter topics on which no replay waits,
// and returns their names: every group reads its own, and there is little to see.
func withoutIdleLetters(g operate.Group) (operate.Group, []string) {
	lags := map[string]int64{}
	for _, p := range g.Partitions {
		lags[p.Topic] += p.Lag
	}
	var names []string
	for _, topic := range g.Topics() {
		if letters.Is(topic) && lags[topic] == 0 {
			names = append(names, topic)
		}
	}
	idle := func(topic string) bool { return slices.Contains(names, topic) }
	g.Partitions = slices.DeleteFunc(slices.Clone(g.Partitions), func(p operate.GroupProgress) bool { return idle(p.Topic) })
	g.Members = slices.Clone(g.Members)
	for i := range g.Members {
		reads := maps.Clone(g.Members[i].Assigned)
		maps.DeleteFunc(reads, func(topic string, _ []int32) bool { return idle(topic) })
		g.Members[i].Assigned = reads
	}
	return g, names
}

func (c *groupsListCmd) Run(ctx context.Context, out *output) error {
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	groups, err := client.Groups(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, groups)
	}
	if len(groups) == 0 {
		out.out.Printf("  no consumer groups yet: a group exists once a member has joined\n")
		return nil
	}
	rows := make([][]string, 0, len(groups))
	for _, g := range groups {
		g, _ := withoutIdleLetters(g)
		lag, behind := g.Lag()
		rows = append(rows, []string{
			g.Name, g.State, fmt.Sprint(len(g.Members)), fmt.Sprint(len(g.Topics())), fmt.Sprint(len(g.Partitions)), term.Count(lag), late(lag, behind),
		})
	}
	out.out.Table([]term.Column{
		{Title: "GROUP"}, {Title: "STATE"}, {Title: "MEMBERS", Right: true}, {Title: "TOPICS", Right: true},
		{Title: "PARTITIONS", Right: true}, {Title: "LAG", Right: true}, {Title: "BEHIND", Right: true},
	}, rows)
	return nil
}

// late prints how far behind in time, if at all.
func late(lag int64, seconds float64) string {
	if lag == 0 {
		return "-"
	}
	return age(seconds)
}

type groupsShowCmd struct {
	Group string `arg:"" help:"The group's name."`
	JSON  bool   `name:"json" help:"Print JSON."`
	cluster
}

func (groupsShowCmd) Help() string {
	return `Examples:
  quokka groups show inventory
  quokka groups show inventory --json | jq '.partitions[] | select(.lag > 0)'`
}

func (c *groupsShowCmd) Run(ctx context.Context, out *output) error {
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	groups, err := client.Groups(ctx, c.Group)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, groups[0])
	}
	printGroup(out.out, groups[0])
	return nil
}

func printGroup(p *term.Printer, g operate.Group) {
	g, idle := withoutIdleLetters(g)
	lag, behind := g.Lag()
	p.Printf("  %s  %s, %s, lag %s", p.Paint(term.Bold, g.Name), g.State, count(int64(len(g.Members)), "member"), term.Count(lag))
	if lag > 0 {
		p.Printf(" (%s)", age(behind))
	}
	p.Printf("\n")
	names := memberNames(g.Members)
	if len(g.Members) > 0 {
		rows := make([][]string, 0, len(g.Members))
		for _, m := range g.Members {
			name := strings.TrimSpace(m.ClientID + " " + names[m.ID])
			for i, reads := range assignment(m.Assigned) {
				if i == 0 {
					rows = append(rows, []string{name, m.Host, m.Instance, reads})
				} else {
					rows = append(rows, []string{"", "", "", reads})
				}
			}
		}
		p.Printf("\n")
		p.Table([]term.Column{{Title: "MEMBER"}, {Title: "HOST"}, {Title: "INSTANCE"}, {Title: "READS"}}, rows)
	}
	if len(g.Partitions) == 0 {
		p.Printf("  nothing read and nothing committed yet\n")
		return
	}
	rows := make([][]string, 0, len(g.Partitions))
	for _, r := range g.Partitions {
		committed := fmt.Sprint(r.Committed)
		if r.Committed < 0 {
			committed = "-"
		}
		rows = append(rows, []string{
			r.Topic, fmt.Sprint(r.Partition), committed, fmt.Sprint(r.End), term.Count(r.Lag), late(r.Lag, r.Behind), names[r.MemberID],
		})
	}
	p.Printf("\n")
	p.Table([]term.Column{
		{Title: "TOPIC"}, {Title: "PARTITION", Right: true}, {Title: "COMMITTED", Right: true}, {Title: "END", Right: true},
		{Title: "LAG", Right: true}, {Title: "BEHIND", Right: true}, {Title: "MEMBER"},
	}, rows)
	for i, topic := range idle {
		label := map[bool]string{true: "also read, for replays: "}[i == 0]
		p.Printf("  %s\n", p.Paint(term.Dim, fmt.Sprintf("%-24s%s", label, topic)))
	}
}

// memberNames tell a group's members apart by the first letters of their ids; of
// one member there is nothing to tell.
func memberNames(members []operate.Member) map[string]string {
	out := map[string]string{}
	if len(members) < 2 {
		return out
	}
	for _, m := range members {
		own := strings.TrimPrefix(m.ID, m.ClientID+"-")
		out[m.ID] = own[:min(8, len(own))]
	}
	return out
}

// assignment lists a member's partitions by topic, such as orders.v1 0-2.
func assignment(assigned map[string][]int32) []string {
	parts := []string{}
	for _, topic := range slices.Sorted(maps.Keys(assigned)) {
		if len(assigned[topic]) > 0 {
			parts = append(parts, topic+" "+ranges(assigned[topic]))
		}
	}
	if len(parts) == 0 {
		return []string{"nothing"}
	}
	return parts
}

type groupsResetCmd struct {
	Group     string `arg:"" help:"The group's name."`
	Topic     string `required:"" help:"The topic whose offsets to move."`
	Partition int32  `default:"-1" placeholder:"N" help:"Only this partition (default: all)."`
	To        string `required:"" placeholder:"WHERE" help:"earliest, latest, an offset (42), so many before the end (--to=-10), a time (RFC 3339), or how long ago (5m)."`
	DryRun    bool   `help:"Show what would change, change nothing (the default without --yes)."`
	Yes       bool   `help:"Do it."`
	JSON      bool   `name:"json" help:"Print JSON."`
	cluster
}

func (groupsResetCmd) Help() string {
	return `Examples:
  quokka groups reset inventory --topic orders.v1 --to earliest          shows what would change
  quokka groups reset inventory --topic orders.v1 --to earliest --yes    replays everything
  quokka groups reset inventory --topic orders.v1 --to 2h --yes          replays the last two hours

A group with members is refused: stop them first, Kafka gives their offsets to nobody else. What the
platform's own services see again is found on their inbox and changes nothing.`
}

func (c *groupsResetCmd) Run(ctx context.Context, out *output) error {
	to, err := operate.ParsePosition(c.To, time.Now())
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	plan, err := client.PlanReset(ctx, c.Group, c.Topic, c.Partition, to)
	if err != nil {
		return err
	}
	apply := c.Yes && !c.DryRun
	if apply {
		if err := client.Reset(ctx, plan); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(out, struct {
			operate.ResetPlan
			Done bool `json:"done"`
		}{plan, apply})
	}
	rows := make([][]string, 0, len(plan.Moves))
	for _, m := range plan.Moves {
		from := fmt.Sprint(m.From)
		if m.From < 0 {
			from = "-"
		}
		rows = append(rows, []string{plan.Topic, fmt.Sprint(m.Partition), from, fmt.Sprint(m.To), again(m.Records())})
	}
	out.out.Table([]term.Column{
		{Title: "TOPIC"}, {Title: "PARTITION", Right: true}, {Title: "COMMITTED", Right: true}, {Title: "NEW", Right: true}, {Title: "RECORDS"},
	}, rows)
	if plan.New {
		out.out.Printf("\n  group %s does not exist yet: its first member begins there\n", c.Group)
	}
	if apply {
		out.out.Printf("\n  done: group %s goes on from there\n", c.Group)
	} else {
		out.out.Printf("\n  nothing changed yet: --yes does it\n")
	}
	return nil
}

// again says what a move means.
func again(records int64) string {
	switch {
	case records < 0:
		return term.Count(-records) + " again"
	case records > 0:
		return term.Count(records) + " skipped"
	}
	return "as it is"
}
