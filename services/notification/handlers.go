package notification

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/postgres"
)

// errNoAddress says that the address book does not know the customer yet. The
// order service accepts orders of existing customers only, so the change that
// brings the address is on its way, however long that takes.
var errNoAddress = errors.New("address is not in the book yet")

// errMailServer says that the mail server did not take a mail.
var errMailServer = errors.New("mail not delivered")

// waitFor reports errors that end by waiting, and not by giving an event up.
func waitFor(err error) bool {
	var registry *serde.UnavailableError
	return errors.Is(err, errNoAddress) || errors.Is(err, errMailServer) ||
		errors.As(err, &registry) || postgres.Unavailable(err)
}

// handle registers the handlers.
func (s *Service) handle(c *consume.Consumer) {
	consume.On(c, schemas.TopicOrders, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderPlaced) error {
		return s.notify(ctx, tx, m, e.OrderID, e.CustomerID)
	})
	consume.On(c, schemas.TopicOrders, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderConfirmed) error {
		return s.notify(ctx, tx, m, e.OrderID, e.CustomerID)
	})
	consume.On(c, schemas.TopicOrders, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderRejected) error {
		return s.notify(ctx, tx, m, e.OrderID, e.CustomerID)
	})
	consume.On(c, schemas.TopicOrders, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderCancelled) error {
		return s.notify(ctx, tx, m, e.OrderID, e.CustomerID)
	})
	c.OnRecord(schemas.TopicCDCCustomers, s.customerChanged)
}

// notify mails the customer about an order's event. The row is written first,
// so that an event answered before is never mailed again; the mail is sent
// before the transaction commits, so that no row stands for a mail that the
// server never took.
func (s *Service) notify(ctx context.Context, tx pgx.Tx, m *consume.Message, order, customer string) error {
	orderID, err := uuid.Parse(order)
	if err != nil {
		return consume.Reject(fmt.Errorf("order id: %w", err))
	}
	customerID, err := uuid.Parse(customer)
	if err != nil {
		return consume.Reject(fmt.Errorf("customer id: %w", err))
	}
	to, found, err := address(ctx, tx, customerID)
	if err != nil {
		return err
	}
	if !found {
		return consume.Retry(fmt.Errorf("customer %s: %w", customerID, errNoAddress), 0)
	}
	mail, ok := Compose(m.ID, m.Event, to)
	if !ok {
		return nil
	}
	n := Notification{
		EventID: m.ID, Channel: Email, OrderID: orderID, CustomerID: customerID,
		Type: m.Event.AvroName(), MessageID: mail.MessageID, Status: Sent,
	}
	if to.Deleted {
		n.Status = Skipped
	}
	fresh, err := record(ctx, tx, n)
	if err != nil || !fresh || to.Deleted {
		return err
	}
	return s.send(ctx, mail)
}

// send hands a mail to the mail server, in a span of its own.
func (s *Service) send(ctx context.Context, mail Mail) error {
	ctx, span := s.tracer.Start(ctx, "send mail", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("network.protocol.name", "smtp"), attribute.String("messaging.message.id", mail.MessageID)))
	defer span.End()
	if err := s.sender.Send(ctx, mail); err != nil {
		span.SetStatus(codes.Error, err.Error())
		if errors.Is(err, ErrRefused) {
			return consume.Reject(err)
		}
		return fmt.Errorf("%w: %w", errMailServer, err)
	}
	return nil
}

// customerChanged keeps the address book in step with the customers table.
func (s *Service) customerChanged(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
	a, err := s.changedAddress(ctx, m)
	if err != nil {
		return err
	}
	return putAddress(ctx, tx, a)
}

// changedAddress reads the entry that a change record makes.
func (s *Service) changedAddress(ctx context.Context, m *consume.Message) (a Address, err error) {
	if a.CommitLSN, err = strconv.ParseUint(consume.Header(m.Record, "pg.commit_lsn"), 10, 64); err != nil {
		return a, consume.Reject(fmt.Errorf("header pg.commit_lsn: %w", err))
	}
	if a.Ordinal, err = strconv.ParseUint(consume.Header(m.Record, "pg.tx_ordinal"), 10, 64); err != nil {
		return a, consume.Reject(fmt.Errorf("header pg.tx_ordinal: %w", err))
	}
	// After a tombstone the key is all there is.
	encoded := m.Record.Value
	if len(encoded) == 0 {
		encoded = m.Record.Key
	}
	_, value, err := s.serde.DecodeAny(ctx, encoded)
	if err != nil {
		return a, fmt.Errorf("decode change of customers: %w", err)
	}
	row, _ := value.(map[string]any)
	if len(m.Record.Value) == 0 {
		a.Deleted = true
	} else {
		change, err := debezium.DecodeEnvelope(value)
		if err != nil {
			return a, consume.Reject(err)
		}
		if row = change.After; change.Op == debezium.Delete {
			row, a.Deleted = change.Before, true
		}
	}
	id, _ := row["customer_id"].(string)
	if a.CustomerID, err = uuid.Parse(id); err != nil {
		return a, consume.Reject(fmt.Errorf("change of customers without a customer_id: %w", err))
	}
	if !a.Deleted {
		a.Name, _ = row["name"].(string)
		a.Email, _ = row["email"].(string)
	}
	return a, nil
}
