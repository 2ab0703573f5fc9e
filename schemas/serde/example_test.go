package serde_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/serde"
)

func Example() {
	ctx := context.Background()
	s, err := serde.New("http://127.0.0.1:8081")
	if err != nil {
		panic(err)
	}
	defer s.Close()

	// A producer does not start with a schema that the registry does not have.
	if err := s.Check(ctx, schemas.Orders); err != nil {
		panic(err)
	}
	value, err := s.Encode(ctx, schemas.TopicOrders, &events.OrderConfirmed{
		OrderID:    "0198c0de-0000-7000-8000-000000000001",
		CustomerID: "0198c0de-0000-7000-8000-0000000000c1",
		Version:    2,
		OccurredAt: time.Now(),
	})
	if err != nil {
		panic(err)
	}

	// A consumer decides by the type of the error.
	event, err := s.Decode(ctx, value)
	var unknown *serde.UnknownTypeError
	var unavailable *serde.UnavailableError
	switch {
	case errors.As(err, &unknown): // acknowledge: the event is for others
	case errors.As(err, &unavailable): // wait and try again
	case err != nil: // dead-letter
	}
	if e, ok := event.(*events.OrderConfirmed); ok {
		fmt.Println(e.OrderID)
	}
}
