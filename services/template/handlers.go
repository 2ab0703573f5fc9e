package template

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// handle registers what the service does with each event. A type without a handler
// is acknowledged and counted.
func (s *Service) handle(c *consume.Consumer) {
	//template:each event
	consume.On(c, schemas.TopicOrders, s.orderPlaced)
	//template:end
	//template:each untyped
	c.OnRecord(schemas.TopicCDCCustomers, s.customersChanged)
	//template:end
}

//template:each event

// orderPlaced is called with every OrderPlaced of orders.v1, in the order of its
// key, once: what it does in tx is committed together with the event's inbox row,
// or not at all.
func (s *Service) orderPlaced(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderPlaced) error {
	return s.record(ctx, tx, m, e.AvroName())
}

//template:end
//template:each untyped

// customersChanged is called with every change of a row on
// cdc.order.public.customers, in the order of its key, once. The record is as
// cdc wrote it: serde.DecodeAny and debezium.DecodeEnvelope read it, as in
// services/notification/handlers.go.
func (s *Service) customersChanged(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
	return s.record(ctx, tx, m, "row changed")
}

//template:end

// record is the effect of an event. An event that is recorded already came again
// after the inbox forgot it: nothing changes.
func (s *Service) record(ctx context.Context, tx pgx.Tx, m *consume.Message, kind string) error {
	e := NewEntry(m.ID, m.Record.Topic, kind, m.Subject(), time.Now())
	fresh, err := s.store.record(ctx, tx, e)
	if err != nil || !fresh {
		return err
	}
	//template:if produces
	if err := s.store.announce(ctx, tx, m.Record.Key, e); err != nil {
		return err
	}
	//template:end
	m.OnCommit(func() {
		s.log.InfoContext(ctx, "event recorded", "event_id", e.EventID, "type", e.Type, "subject", e.Subject)
	})
	return nil
}
