package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/term"
)

type topicsReadCmd struct {
	Topic     string            `arg:"" help:"The topic's name."`
	From      string            `default:"earliest" placeholder:"WHERE" help:"Begin at: earliest, latest, an offset (42), so many before the end (--from=-10), a time (RFC 3339), or how long ago (5m)."`
	Partition int32             `default:"-1" placeholder:"N" help:"Only this partition (default: all, by time)."`
	Key       string            `placeholder:"KEY" help:"Only records with this key; of an Avro key, with this value in it."`
	Header    map[string]string `placeholder:"NAME=VALUE" help:"Only records with this header, such as ce_subject=ORDER."`
	Limit     int               `default:"-1" placeholder:"N" help:"At most so many (default: 20; no limit with --follow; 0: no limit)."`
	Follow    bool              `short:"f" help:"Then wait for new records, until Ctrl-C."`
	JSON      bool              `name:"json" help:"Print one JSON object a line."`
	cluster
}

func (topicsReadCmd) Help() string {
	return `Examples:
  quokka topics read orders.v1 --from=-1                   the newest record of each partition
  quokka topics read orders.v1 --header ce_subject=ORDER   every event of one order
  quokka topics read orders.v1 --partition 3 --from 17     replay from an offset
  quokka topics read orders.v1 --from 10m                  replay from ten minutes ago
  quokka topics read orders.v1 --from latest --follow      what happens now
  quokka topics read inventory.v1 --json --limit 0 | jq .value.order_id`
}

func (c *topicsReadCmd) Run(ctx context.Context, out *output) error {
	from, err := operate.ParsePosition(c.From, time.Now())
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	limit := c.Limit
	if limit < 0 {
		if limit = 20; c.Follow {
			limit = 0
		}
	}
	client, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	shown := 0
	more, err := client.Read(ctx, operate.Reading{
		Topic: c.Topic, From: from, Partition: c.Partition, Limit: limit, Follow: c.Follow, Match: c.match,
	}, func(r operate.Record) error {
		shown++
		if c.JSON {
			return printLine(out, r)
		}
		printRecord(out.out, r)
		return nil
	})
	if c.Follow && errors.Is(err, context.Canceled) {
		return nil // that is how following ends
	}
	switch {
	case err != nil || c.JSON:
	case shown == 0:
		out.out.Printf("  no such records\n")
	case more:
		out.out.Printf("  %s\n", out.out.Paint(term.Dim, fmt.Sprintf("%s shown, there are more: --limit 0 shows all", term.Count(shown))))
	}
	return err
}

// match reports whether a record is one to show.
func (c *topicsReadCmd) match(r operate.Record) bool {
	if c.Key != "" && !holds(r.Key, c.Key) {
		return false
	}
	for name, value := range c.Header {
		if !slices.Contains(r.Headers, operate.Header{Name: name, Value: value}) {
			return false
		}
	}
	return true
}

// holds reports whether a key is text, or has it among its fields.
func holds(key any, text string) bool {
	switch key := key.(type) {
	case string:
		return key == text
	case map[string]any:
		for _, v := range key {
			if fmt.Sprint(v) == text {
				return true
			}
		}
	case json.RawMessage:
		return string(key) == text
	}
	return false
}

// printLine prints a record as one line of JSON.
func printLine(out *output, v any) error {
	enc := json.NewEncoder(out.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printRecord prints a record for a person.
func printRecord(p *term.Printer, r operate.Record) {
	p.Printf("%s  %s  %s\n", p.Paint(term.Bold, fmt.Sprintf("%s[%d]@%d", r.Topic, r.Partition, r.Offset)), stamp(r.Time), shortType(r.Type))
	row := func(label, value string) {
		p.Printf("  %s  %s\n", p.Paint(term.Dim, fmt.Sprintf("%-*s", labelWidth(r), label)), value)
	}
	row("key", oneLine(r.Key))
	for _, h := range r.Headers {
		row(h.Name, strings.ReplaceAll(h.Value, "\n", " "))
	}
	if r.Problem != "" {
		row("problem", p.Paint(term.Red, r.Problem))
	}
	p.Printf("  %s\n\n", indented(r.Value))
}

func labelWidth(r operate.Record) int {
	width := len("problem")
	for _, h := range r.Headers {
		width = max(width, len(h.Name))
	}
	return width
}

// oneLine prints a key.
func oneLine(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		return v
	}
	return strings.TrimSpace(jsonText(v, ""))
}

// lineWidth is what fits beside the margin on a screen of 100 columns.
const lineWidth = 98

// indented prints a value under its headers, on one line where it fits.
func indented(v any) string {
	switch v := v.(type) {
	case nil:
		return "no value: a tombstone"
	case string:
		return strings.ReplaceAll(v, "\n", "\n  ")
	}
	if line := strings.TrimSpace(jsonText(v, "")); len(line) <= lineWidth {
		return line
	}
	return strings.TrimSpace(jsonText(v, "  "))
}

func jsonText(v any, indent string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if indent != "" {
		enc.SetIndent("  ", indent)
	}
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return b.String()
}
