package inventory

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/services/kit/postgres"
)

// Errors of the catalogue.
var (
	errUnknownProduct = errors.New("no such product")
	// errInitialFixed: a product's first stock is history; restock adds to it.
	errInitialFixed = errors.New("the initial stock is fixed")
	errStockLimit   = errors.New("the stock would exceed its limit")
)

const productColumns = `sku, name, description, price_cents, currency, updated_at`

func scanProduct(row pgx.Row) (Product, error) {
	var p Product
	err := row.Scan(&p.SKU, &p.Name, &p.Description, &p.PriceCents, &p.Currency, &p.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, errUnknownProduct
	}
	p.UpdatedAt = p.UpdatedAt.UTC()
	return p, err
}

func (s *store) product(ctx context.Context, sku string) (Product, error) {
	return scanProduct(s.pool.QueryRow(ctx, `select `+productColumns+` from products where sku = $1`, sku))
}

func (s *store) products(ctx context.Context, after string, limit int) ([]Product, error) {
	rows, err := s.pool.Query(ctx, `select `+productColumns+` from products where sku > $1 order by sku limit $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read products: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Product, error) { return scanProduct(row) })
	if err != nil {
		return nil, fmt.Errorf("read products: %w", err)
	}
	return out, nil
}

// putProduct creates or changes a product. Equal values write nothing, so that a
// repeated request makes no change event. initial is the stock a new product begins
// with; for one that has a stock already it must be absent or the same.
func (s *store) putProduct(ctx context.Context, p Product, initial *int32) (out Product, created bool, err error) {
	err = s.changeProducts(ctx, func(tx pgx.Tx) error {
		out, err = scanProduct(tx.QueryRow(ctx, `insert into products (sku, name, description, price_cents, currency) values ($1, $2, $3, $4, $5)
			on conflict (sku) do nothing returning `+productColumns, p.SKU, p.Name, p.Description, p.PriceCents, p.Currency))
		switch {
		case err == nil:
			created = true
		case !errors.Is(err, errUnknownProduct):
			return fmt.Errorf("insert product: %w", err)
		default:
			if out, err = s.changeProduct(ctx, tx, p); err != nil {
				return fmt.Errorf("update product: %w", err)
			}
		}
		return s.beginStock(ctx, tx, p.SKU, initial)
	})
	return out, created, err
}

func (s *store) changeProduct(ctx context.Context, tx pgx.Tx, p Product) (Product, error) {
	out, err := scanProduct(tx.QueryRow(ctx, `update products set name = $2, description = $3, price_cents = $4, currency = $5, updated_at = now()
		where sku = $1 and (name, description, price_cents, currency) is distinct from ($2, $3, $4, $5) returning `+productColumns,
		p.SKU, p.Name, p.Description, p.PriceCents, p.Currency))
	if errors.Is(err, errUnknownProduct) {
		return scanProduct(tx.QueryRow(ctx, `select `+productColumns+` from products where sku = $1`, p.SKU))
	}
	return out, err
}

// beginStock gives a product its stock, once.
func (s *store) beginStock(ctx context.Context, tx pgx.Tx, sku string, initial *int32) error {
	var first int32
	if initial != nil {
		first = *initial
	}
	tag, err := tx.Exec(ctx, `insert into stock (sku, initial, available) values ($1, $2, 0) on conflict (sku) do nothing`, sku, first)
	if err != nil {
		return fmt.Errorf("insert stock: %w", err)
	}
	if tag.RowsAffected() == 0 {
		if initial == nil {
			return nil
		}
		var had int32
		if err := tx.QueryRow(ctx, `select initial from stock where sku = $1`, sku).Scan(&had); err != nil {
			return fmt.Errorf("read stock: %w", err)
		}
		if had != first {
			return errInitialFixed
		}
		return nil
	}
	if first == 0 {
		return nil
	}
	var batch pgx.Batch
	move(&batch, nil, sku, KindInitial, int64(first))
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("initial stock: %w", err)
	}
	return nil
}

// deleteProduct takes a product out of the catalogue: orders for it are rejected
// from now on. Its stock stays, for what is reserved may come back.
func (s *store) deleteProduct(ctx context.Context, sku string) error {
	return s.changeProducts(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `delete from products where sku = $1`, sku)
		if err != nil {
			return fmt.Errorf("delete product: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return errUnknownProduct
		}
		return nil
	})
}

// changeProducts runs a change of the captured table; the trace context goes
// first, so that capture can continue the trace.
func (s *store) changeProducts(ctx context.Context, change func(tx pgx.Tx) error) error {
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := postgres.EmitTrace(ctx, tx); err != nil {
			return err
		}
		return change(tx)
	})
}

func (s *store) stock(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, sku string) (Stock, error) {
	st := Stock{SKU: sku}
	err := q.QueryRow(ctx, `select s.initial, s.available from stock s join products p using (sku) where s.sku = $1`, sku).Scan(&st.Initial, &st.Available)
	if errors.Is(err, pgx.ErrNoRows) {
		return st, errUnknownProduct
	}
	if err != nil {
		return st, fmt.Errorf("read stock: %w", err)
	}
	return st, nil
}

// maxStock is how much there may be of a product.
const maxStock = 1_000_000_000_000

// restock adds to a product's stock.
func (s *store) restock(ctx context.Context, sku string, quantity int32) (st Stock, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		available, err := s.available(ctx, tx, []Line{{SKU: sku}})
		if err != nil {
			return err
		}
		have, ok := available[sku]
		switch {
		case !ok:
			return errUnknownProduct
		case have+int64(quantity) > maxStock:
			return errStockLimit
		}
		var batch pgx.Batch
		move(&batch, nil, sku, KindRestock, int64(quantity))
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("restock: %w", err)
		}
		st, err = s.stock(ctx, tx, sku)
		return err
	})
	return st, err
}
