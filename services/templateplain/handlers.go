package templateplain

import (
	"context"
	"time"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

//template:if typed

// batchLimit is how many events are handled before their offsets are committed.
const batchLimit = 100

//template:end

// handle registers what the service does with each topic. A type without a handler
// is acknowledged and counted.
func (s *Service) handle(c *consume.Consumer) {
	//template:each topic
	c.OnEventBatch(schemas.TopicOrders, batchLimit, s.ordersReceived)
	//template:end
	//template:each untyped
	c.OnMessage(schemas.TopicCDCCustomers, s.customersChanged)
	//template:end
}

//template:each topic

// ordersReceived hands the events of orders.v1, in the order of their partition, to
// the methods below. An error hands all of them over again.
func (s *Service) ordersReceived(ctx context.Context, batch []*consume.Message) error {
	for _, m := range batch {
		var err error
		switch e := m.Event.(type) {
		//template:each event
		case *events.OrderPlaced:
			err = s.orderPlaced(ctx, m, e)
			//template:end
		}
		if err != nil {
			return err
		}
	}
	return nil
}

//template:end
//template:each event

// orderPlaced is called with every OrderPlaced of orders.v1, in the order of its
// key, at least once: after a crash or a rebalance some come again, so what it does
// must do no harm twice.
func (s *Service) orderPlaced(ctx context.Context, m *consume.Message, e *events.OrderPlaced) error {
	return s.saw(ctx, m, e.AvroName())
}

//template:end
//template:each untyped

// customersChanged is called with every change of a row on
// cdc.order.public.customers, in the order of its key, at least once. The record is
// as cdc wrote it: serde.DecodeAny and debezium.DecodeEnvelope read it, as in
// services/searchsync/handlers.go.
func (s *Service) customersChanged(ctx context.Context, m *consume.Message) error {
	return s.saw(ctx, m, "row changed")
}

//template:end

// saw is the effect of an event: a line in the log, and an entry among the recent
// ones.
func (s *Service) saw(ctx context.Context, m *consume.Message, kind string) error {
	if s.recent.Add(Sighting{EventID: m.ID, Topic: m.Record.Topic, Type: kind, Subject: m.Subject(), SeenAt: time.Now().UTC()}) {
		s.log.InfoContext(ctx, "event seen", "event_id", m.ID, "type", kind, "subject", m.Subject())
	}
	return nil
}
