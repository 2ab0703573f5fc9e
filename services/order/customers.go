package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/services/kit/postgres"
)

// Customer is who places orders. Others learn of customers by change data capture.
type Customer struct {
	CustomerID uuid.UUID `json:"customer_id"`
	Name       string    `json:"name"`
	Email      string    `json:"email"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// errHasOrders: the customer is part of orders, which are kept for ever.
var errHasOrders = errors.New("the customer has orders")

const customerColumns = `customer_id, name, email, created_at, updated_at`

func scanCustomer(row pgx.Row) (Customer, error) {
	var c Customer
	err := row.Scan(&c.CustomerID, &c.Name, &c.Email, &c.CreatedAt, &c.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, errUnknownCustomer
	}
	c.CreatedAt, c.UpdatedAt = c.CreatedAt.UTC(), c.UpdatedAt.UTC()
	return c, err
}

func (s *store) customer(ctx context.Context, id uuid.UUID) (Customer, error) {
	return scanCustomer(s.pool.QueryRow(ctx, `select `+customerColumns+` from customers where customer_id = $1`, id))
}

// changeCustomer runs a statement on the captured table; the trace context goes
// first, so that capture can continue the trace.
func (s *store) changeCustomer(ctx context.Context, change func(tx pgx.Tx) error) error {
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := postgres.EmitTrace(ctx, tx); err != nil {
			return err
		}
		return change(tx)
	})
}

func (s *store) insertCustomer(ctx context.Context, id uuid.UUID, r customerRequest) (c Customer, err error) {
	err = s.changeCustomer(ctx, func(tx pgx.Tx) error {
		c, err = scanCustomer(tx.QueryRow(ctx, `insert into customers (customer_id, name, email) values ($1, $2, $3) returning `+customerColumns, id, r.Name, r.Email))
		return err
	})
	return c, err
}

// updateCustomer changes a customer. Equal values write nothing, so that a repeated
// request makes no change event.
func (s *store) updateCustomer(ctx context.Context, id uuid.UUID, r customerRequest) (c Customer, err error) {
	err = s.changeCustomer(ctx, func(tx pgx.Tx) error {
		c, err = scanCustomer(tx.QueryRow(ctx, `update customers set name = $2, email = $3, updated_at = now()
			where customer_id = $1 and (name, email) is distinct from ($2, $3) returning `+customerColumns, id, r.Name, r.Email))
		if errors.Is(err, errUnknownCustomer) {
			c, err = scanCustomer(tx.QueryRow(ctx, `select `+customerColumns+` from customers where customer_id = $1`, id))
		}
		return err
	})
	return c, err
}

func (s *store) deleteCustomer(ctx context.Context, id uuid.UUID) error {
	return s.changeCustomer(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `delete from customers where customer_id = $1`, id)
		switch {
		case postgres.Violates(err, "orders_customer_id_fkey"):
			return errHasOrders
		case err != nil:
			return fmt.Errorf("delete customer: %w", err)
		case tag.RowsAffected() == 0:
			return errUnknownCustomer
		}
		return nil
	})
}
