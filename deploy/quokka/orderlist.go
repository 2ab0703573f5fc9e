package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/demo"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/services/order"
)

type ordersListCmd struct {
	Newest int          `default:"20" placeholder:"N" help:"How many, newest first; 0: all (${default})."`
	Status order.Status `enum:",pending,confirmed,rejected,cancelled" default:"" placeholder:"STATUS" help:"Only orders that are pending, confirmed, rejected or cancelled."`
	Quiet  bool         `short:"q" help:"Print ids only, one a line."`
	JSON   bool         `name:"json" help:"Print JSON."`
	target
}

func (ordersListCmd) Help() string {
	return `Examples:
  quokka orders
  quokka orders list --newest 1 --quiet                      the id of the newest order
  quokka trace $(quokka orders list --newest 1 --quiet)
  quokka orders list --status pending --newest 0`
}

// listedOrder is an order as its events have it.
type listedOrder struct {
	OrderID    string       `json:"order_id"`
	CustomerID string       `json:"customer_id"`
	Status     order.Status `json:"status"`
	Version    int32        `json:"version"`
	Reason     string       `json:"reason,omitempty"`
	PlacedAt   time.Time    `json:"placed_at"`
	UpdatedAt  time.Time    `json:"updated_at"`
}

func (c *ordersListCmd) Run(ctx context.Context, out *output) error {
	if c.Newest < 0 {
		return errors.New("--newest cannot be negative")
	}
	at, err := c.running()
	if err != nil {
		return err
	}
	collector, err := collect.New(demo.Sources(at))
	if err != nil {
		return err
	}
	defer collector.Close()
	stories, err := collector.Orders(ctx)
	if err != nil {
		return err
	}
	orders, total := c.choose(stories)
	switch {
	case c.JSON:
		return printJSON(out, orders)
	case c.Quiet:
		for _, o := range orders {
			out.out.Printf("%s\n", o.OrderID)
		}
	case len(stories) == 0:
		out.out.Printf("  no orders yet: `quokka load` places some\n")
	case total == 0:
		out.out.Printf("  none of %s is %s\n", count(int64(len(stories)), "order"), c.Status)
	default:
		printOrders(out.out, orders, total)
	}
	return nil
}

// choose folds the orders and returns those to list, and how many there are in
// all of that status. An order whose events make no sense stands where they
// stop to: `quokka orders history` says why.
func (c *ordersListCmd) choose(stories [][]collect.OrderEvent) (orders []listedOrder, total int) {
	orders = []listedOrder{}
	for _, story := range slices.Backward(stories) {
		var state order.State
		for _, e := range story {
			next, err := order.Apply(state, e.Payload)
			if err != nil {
				break
			}
			state = next
		}
		if c.Status != "" && state.Status != c.Status {
			continue
		}
		if total++; c.Newest > 0 && total > c.Newest {
			continue
		}
		orders = append(orders, listedOrder{
			story[0].OrderID, story[0].CustomerID, state.Status, state.Version, state.Reason, state.CreatedAt, state.UpdatedAt,
		})
	}
	return orders, total
}

func printOrders(p *term.Printer, orders []listedOrder, total int) {
	rows := make([][]string, 0, len(orders))
	for _, o := range orders {
		rows = append(rows, []string{o.OrderID, o.PlacedAt.UTC().Format("2006-01-02 15:04:05"), string(o.Status), fmt.Sprint(o.Version), o.Reason})
	}
	p.Table([]term.Column{{Title: "ORDER"}, {Title: "PLACED (UTC)"}, {Title: "STATUS"}, {Title: "VERSION", Right: true}, {Title: "REASON"}}, rows)
	if total > len(orders) {
		p.Printf("  %s\n", p.Paint(term.Dim, fmt.Sprintf("the newest %s of %s: --newest 0 lists all", term.Count(len(orders)), term.Count(total))))
	}
}

type ordersHistoryCmd struct {
	Order string `arg:"" help:"The order's id."`
	JSON  bool   `name:"json" help:"Print JSON."`
	target
}

func (ordersHistoryCmd) Help() string {
	return `Examples:
  quokka orders history ORDER
  quokka orders history ORDER --json | jq -r '.[].type'

orders.v1 is kept for ever, so the whole story is there; ` + "`quokka orders as-of`" + ` folds it up to a time.`
}

// historyEvent is a step of an order's story.
type historyEvent struct {
	Version    int32        `json:"version"`
	OccurredAt time.Time    `json:"occurred_at"`
	Type       string       `json:"type"`
	EventID    string       `json:"event_id"`
	Status     order.Status `json:"status"` // after it
	Topic      string       `json:"topic"`
	Partition  int32        `json:"partition"`
	Offset     int64        `json:"offset"`
	Key        string       `json:"key"`
}

func (c *ordersHistoryCmd) Run(ctx context.Context, out *output) error {
	at, err := c.running()
	if err != nil {
		return err
	}
	story, err := orderEvents(ctx, at, c.Order)
	if err != nil {
		return err
	}
	events, err := history(story)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, events)
	}
	printHistory(out.out, events)
	return nil
}

func history(story []collect.OrderEvent) ([]historyEvent, error) {
	var state order.State
	out := make([]historyEvent, 0, len(story))
	for _, e := range story {
		var err error
		if state, err = order.Apply(state, e.Payload); err != nil {
			return nil, fmt.Errorf("%s[%d]@%d: %w", e.Topic, e.Partition, e.Offset, err)
		}
		out = append(out, historyEvent{e.Version, e.OccurredAt, e.Type, e.ID, state.Status, e.Topic, e.Partition, e.Offset, e.Key})
	}
	return out, nil
}

func printHistory(p *term.Printer, events []historyEvent) {
	rows := make([][]string, 0, len(events))
	for _, e := range events {
		rows = append(rows, []string{
			fmt.Sprint(e.Version), stamp(e.OccurredAt), shortType(e.Type), string(e.Status), fmt.Sprintf("%s[%d]@%d", e.Topic, e.Partition, e.Offset),
		})
	}
	p.Table([]term.Column{{Title: "VERSION", Right: true}, {Title: "TIME"}, {Title: "EVENT"}, {Title: "STATUS"}, {Title: "RECORD"}}, rows)
}
