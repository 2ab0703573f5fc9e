package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/collect"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/order"
)

const listedCustomer = "01a20ab2-c55d-7f34-8bf4-5a1ab035a14d"

// storyOf is an order placed at a second and, perhaps, brought to an end.
func storyOf(id string, second int, end events.Event) []collect.OrderEvent {
	at := time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC)
	story := []collect.OrderEvent{{
		Event:   checker.Event{Topic: "orders.v1", Partition: 1, Offset: 7, OrderID: id, CustomerID: listedCustomer, Version: 1, OccurredAt: at, Type: checker.Placed},
		Payload: &events.OrderPlaced{OrderID: id, CustomerID: listedCustomer, Version: 1, OccurredAt: at, Lines: []events.OrderLine{{SKU: "A", Quantity: 1}}},
	}}
	if end != nil {
		story = append(story, collect.OrderEvent{
			Event:   checker.Event{Topic: "orders.v1", Partition: 1, Offset: 9, OrderID: id, CustomerID: listedCustomer, Version: 2, OccurredAt: at, Type: end.AvroName()},
			Payload: end,
		})
	}
	return story
}

func TestOrdersList(t *testing.T) {
	const first, second, third = "01a20ab2-c591-7d8b-8d33-000000000001", "01a20ab2-c591-7d8b-8d33-000000000002", "01a20ab2-c591-7d8b-8d33-000000000003"
	at := time.Date(2026, 1, 2, 3, 4, 30, 0, time.UTC)
	stories := [][]collect.OrderEvent{
		storyOf(first, 1, &events.OrderConfirmed{OrderID: first, CustomerID: listedCustomer, Version: 2, OccurredAt: at}),
		storyOf(second, 2, &events.OrderConfirmed{OrderID: second, CustomerID: listedCustomer, Version: 5, OccurredAt: at}), // out of sequence
		storyOf(third, 3, nil),
	}
	for _, tc := range []struct {
		cmd   ordersListCmd
		want  []string
		total int
	}{
		{ordersListCmd{}, []string{third, second, first}, 3},
		{ordersListCmd{Newest: 2}, []string{third, second}, 3},
		{ordersListCmd{Newest: 1, Status: order.Pending}, []string{third}, 2},
		{ordersListCmd{Status: order.Confirmed}, []string{first}, 1},
		{ordersListCmd{Status: order.Cancelled}, nil, 0},
	} {
		orders, total := tc.cmd.choose(stories)
		var got []string
		for _, o := range orders {
			got = append(got, o.OrderID)
		}
		if d := cmp.Diff(tc.want, got); d != "" || total != tc.total {
			t.Errorf("%+v: %v of %d", tc.cmd, got, total)
		}
	}

	steps, err := history(stories[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `
  VERSION  TIME                         EVENT           STATUS     RECORD
        1  2026-01-02T03:04:01.000000Z  OrderPlaced     pending    orders.v1[1]@7
        2  2026-01-02T03:04:01.000000Z  OrderConfirmed  confirmed  orders.v1[1]@9
`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { printHistory(p, steps) })); d != "" {
		t.Error(d)
	}
	if _, err := history(stories[1]); err == nil {
		t.Error("a story with a gap was told")
	}
}
