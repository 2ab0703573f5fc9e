package events_test

import (
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/schemas/events"
)

func ExampleEncode() {
	placed := &events.OrderPlaced{
		OrderID:    "0198c0de-0000-7000-8000-000000000001",
		CustomerID: "0198c0de-0000-7000-8000-0000000000c1",
		Version:    1,
		OccurredAt: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Lines:      []events.OrderLine{{SKU: "mug", Quantity: 0}},
	}
	_, err := events.Encode(placed)
	fmt.Println(err)

	placed.Lines[0].Quantity = 2
	b, err := events.Encode(placed)
	fmt.Println(len(b), err)
	// Output:
	// quokka.order.v1.OrderPlaced: field lines[0].quantity is less than 1
	// 90 <nil>
}
