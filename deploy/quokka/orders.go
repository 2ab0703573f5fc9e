package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/services/order"
)

type ordersCmd struct {
	List    ordersListCmd    `cmd:"" default:"withargs" help:"List the newest orders."`
	Place   ordersPlaceCmd   `cmd:"" help:"Place one order on a running platform."`
	History ordersHistoryCmd `cmd:"" help:"Every event of an order, with its version, time and place."`
	AsOf    asOfCmd          `cmd:"" name:"as-of" help:"The state of an order at a time, folded from its events."`
}

type asOfCmd struct {
	Order string `arg:"" help:"The order's id."`
	Time  string `arg:"" optional:"" help:"RFC 3339, or how long ago: 90s, 2h (default: now)."`
	JSON  bool   `name:"json" help:"Print JSON."`
	target
}

func (c *asOfCmd) Run(ctx context.Context, out *output) error {
	instant, err := parseInstant(c.Time, time.Now())
	if err != nil {
		return err
	}
	at, err := c.running()
	if err != nil {
		return err
	}
	story, err := orderEvents(ctx, at, c.Order)
	if err != nil {
		return err
	}
	state, past, err := fold(story, instant)
	if err != nil {
		return err
	}
	if len(past) == 0 {
		return fmt.Errorf("order %s did not exist yet at %s: it was placed at %s", c.Order, stamp(instant), stamp(story[0].OccurredAt))
	}
	if c.JSON {
		return json.NewEncoder(out.stdout).Encode(struct {
			OrderID    string       `json:"order_id"`
			CustomerID string       `json:"customer_id"`
			Status     order.Status `json:"status"`
			Version    int32        `json:"version"`
			Lines      []order.Line `json:"lines"`
			Reason     string       `json:"reason,omitempty"`
			CreatedAt  time.Time    `json:"created_at"`
			UpdatedAt  time.Time    `json:"updated_at"`
		}{state.OrderID.String(), state.CustomerID.String(), state.Status, state.Version, state.Lines, state.Reason, state.CreatedAt, state.UpdatedAt})
	}
	printState(out.out, state, past, len(story))
	return nil
}

// fold returns an order's state at an instant and the events up to it. It is
// the service's own fold.
func fold(story []collect.OrderEvent, instant time.Time) (state order.State, past []collect.OrderEvent, err error) {
	for _, e := range story {
		if e.OccurredAt.After(instant) {
			break
		}
		if state, err = order.Apply(state, e.Payload); err != nil {
			return state, past, fmt.Errorf("%s[%d]@%d: %w", e.Topic, e.Partition, e.Offset, err)
		}
		past = append(past, e)
	}
	return state, past, nil
}

func printState(p *term.Printer, s order.State, past []collect.OrderEvent, all int) {
	row := func(label, value string) {
		p.Printf("  %s  %s\n", p.Paint(term.Dim, fmt.Sprintf("%-9s", label)), value)
	}
	row("order", s.OrderID.String())
	row("customer", s.CustomerID.String())
	status := p.Paint(term.Bold, string(s.Status))
	if s.Reason != "" {
		status += ": " + s.Reason
	}
	row("status", status)
	for i, line := range s.Lines {
		label := ""
		if i == 0 {
			label = "lines"
		}
		row(label, fmt.Sprintf("%d × %s", line.Quantity, line.SKU))
	}
	for i, e := range past {
		label := ""
		if i == 0 {
			label = "events"
		}
		row(label, fmt.Sprintf("%d  %s  %-14s  %s[%d]@%d", e.Version, stamp(e.OccurredAt), shortType(e.Type), e.Topic, e.Partition, e.Offset))
	}
	if later := all - len(past); later > 0 {
		row("", p.Paint(term.Dim, fmt.Sprintf("%d later", later)))
	}
}

func shortType(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// parseInstant reads a time, or a duration before now.
func parseInstant(text string, now time.Time) (time.Time, error) {
	if text == "" || text == "now" {
		return now, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			ago = -ago
		}
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is no time: give RFC 3339, such as %s, or how long ago, such as 90s", text, now.UTC().Format(time.RFC3339))
	}
	return t, nil
}
