package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/term"
)

type topicsCmd struct {
	List  topicsListCmd  `cmd:"" default:"withargs" help:"List the topics."`
	Show  topicsShowCmd  `cmd:"" help:"Show one topic: its partitions, its settings, what it carries."`
	Read  topicsReadCmd  `cmd:"" help:"Read records, decoded: from an offset, from a time, of a key, as they come."`
	Write topicsWriteCmd `cmd:"" help:"Write one record."`

	Create topicsCreateCmd `cmd:"" help:"Create a topic of your own."`
}

type topicsListCmd struct {
	Internal bool `help:"List the cluster's own topics too."`
	JSON     bool `name:"json" help:"Print JSON."`
	cluster
}

func (topicsListCmd) Help() string {
	return `Examples:
  quokka topics                                   the topics of the running platform
  quokka topics --kafka kafka.example:9092        those of another cluster
  quokka topics --json | jq '.[].topic'`
}

func (c *topicsListCmd) Run(ctx context.Context, out *output) error {
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	topics, err := client.Topics(ctx, c.Internal)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, topics)
	}
	if len(topics) == 0 {
		out.out.Printf("  no topics yet: make the platform's with `quokka schemas apply`\n")
		return nil
	}
	printTopics(out.out, topics)
	return nil
}

func printTopics(p *term.Printer, topics []operate.Topic) {
	rows := make([][]string, 0, len(topics))
	for _, t := range topics {
		rows = append(rows, []string{
			t.Name, fmt.Sprint(len(t.Partitions)), fmt.Sprint(t.Replicas), term.Count(t.Records()), size(t.Bytes()), keyOf(t),
		})
	}
	p.Table([]term.Column{
		{Title: "TOPIC"}, {Title: "PARTITIONS", Right: true}, {Title: "REPLICAS", Right: true},
		{Title: "RECORDS", Right: true}, {Title: "SIZE", Right: true}, {Title: "KEY"},
	}, rows)
}

// size prints a size; an unknown one is left empty.
func size(bytes int64) string {
	if bytes < 0 {
		return ""
	}
	return term.Bytes(bytes)
}

func keyOf(t operate.Topic) string {
	if t.Declared == nil {
		return ""
	}
	return t.Declared.Key
}

type topicsShowCmd struct {
	Topic string `arg:"" help:"The topic's name."`
	JSON  bool   `name:"json" help:"Print JSON."`
	cluster
}

func (topicsShowCmd) Help() string {
	return `Examples:
  quokka topics show orders.v1
  quokka topics show orders.v1 --json | jq '.partitions[] | {partition, end}'

RECORDS counts offsets: compaction leaves gaps, and transactions take some for their markers.`
}

func (c *topicsShowCmd) Run(ctx context.Context, out *output) error {
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	topic, err := client.Topic(ctx, c.Topic)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, topic)
	}
	printTopic(out.out, topic)
	return nil
}

func printTopic(p *term.Printer, t operate.Topic) {
	p.Printf("  %s  %s in %s", p.Paint(term.Bold, t.Name), count(t.Records(), "record"), count(int64(len(t.Partitions)), "partition"))
	if bytes := t.Bytes(); bytes >= 0 {
		p.Printf(", %s", term.Bytes(bytes))
	}
	p.Printf("\n")
	row := func(label string, values ...string) {
		for i, value := range values {
			if i > 0 {
				label = ""
			}
			p.Printf("  %s  %s\n", p.Paint(term.Dim, fmt.Sprintf("%-8s", label)), value)
		}
	}
	if d := t.Declared; d != nil {
		if d.DeadLetterOf != "" {
			row("carries", d.DeadLetterOf)
		}
		row("key", d.Key)
		row("schemas", d.Subjects...)
		if d.Compatibility != "" {
			row("", "compatibility "+d.Compatibility)
		}
		if len(d.Groups) > 0 {
			row("groups", strings.Join(d.Groups, ", "))
		}
	} else {
		row("", p.Paint(term.Dim, "not a topic of the platform's"))
	}
	settings := []string{}
	for _, s := range t.Settings {
		settings = append(settings, s.Name+"="+s.Value)
	}
	if len(settings) == 0 {
		settings = []string{"all as the cluster's defaults"}
	}
	row("settings", settings...)
	p.Printf("\n")
	rows := make([][]string, 0, len(t.Partitions))
	for _, part := range t.Partitions {
		leader := fmt.Sprint(part.Leader)
		if part.Leader < 0 {
			leader = "none"
		}
		rows = append(rows, []string{
			fmt.Sprint(part.ID), leader, ranges(part.ISR), fmt.Sprint(part.Start), fmt.Sprint(part.End), term.Count(part.Records()), size(part.Bytes),
		})
	}
	p.Table([]term.Column{
		{Title: "PARTITION", Right: true}, {Title: "LEADER", Right: true}, {Title: "IN SYNC", Right: true},
		{Title: "START", Right: true}, {Title: "END", Right: true}, {Title: "RECORDS", Right: true}, {Title: "SIZE", Right: true},
	}, rows)
}

// count prints a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return term.Count(n) + " " + thing + "s"
}
