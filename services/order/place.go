package order

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"

	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// placement is the answer to a request that placed an order, now or before.
type placement struct {
	status   int
	response orderResponse
	// repeated says that an earlier request with the same key placed it, in the
	// trace of this traceparent.
	repeated    bool
	traceparent string
}

// place stores an order with its event in one transaction.
//
// The customer's lock comes first. Then the key: whoever inserts it owns the order,
// and a concurrent request with the same key waits here for the first one's end,
// then gets its answer. The answer is known before it is carried out, since it
// says only that the order is pending.
func (s *Service) place(ctx context.Context, key string, r placeRequest, customer uuid.UUID) (p placement, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return p, fmt.Errorf("order id: %w", err)
	}
	placed := Place(id, customer, r.Lines, time.Now())
	o, err := Apply(State{}, placed)
	if err != nil {
		return p, err
	}
	p = placement{status: http.StatusAccepted, response: respond(o)}
	carrier := propagation.MapCarrier{}
	telemetry.Propagator.Inject(ctx, carrier)
	p.traceparent = carrier["traceparent"]

	err = postgres.InTx(ctx, s.store.pool, func(tx pgx.Tx) error {
		if err := s.store.lockCustomer(ctx, tx, customer); err != nil {
			return err
		}
		if key != "" {
			earlier, err := s.store.claim(ctx, tx, key, r, p)
			if err != nil || earlier.repeated {
				p = earlier
				return err
			}
		}
		return s.store.insert(ctx, tx, o, placed, p.traceparent)
	})
	return p, err
}

// claim stores the key with the answer that p will give. If the key is taken, it
// returns the answer stored with it, or a problem if that was for another request.
func (s *store) claim(ctx context.Context, tx pgx.Tx, key string, r placeRequest, p placement) (placement, error) {
	hash, err := hashRequest(r)
	if err != nil {
		return p, err
	}
	answer, err := json.Marshal(p.response)
	if err != nil {
		return p, fmt.Errorf("encode response: %w", err)
	}
	tag, err := tx.Exec(ctx, `insert into idempotency_keys (key, customer_id, request_hash, order_id, status_code, response)
		values ($1, $2, $3, $4, $5, $6) on conflict (key) do nothing`,
		key, p.response.CustomerID, hash, p.response.OrderID, p.status, answer)
	if err != nil {
		return p, fmt.Errorf("claim idempotency key: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return p, nil
	}
	earlier := placement{repeated: true}
	var earlierHash []byte
	err = tx.QueryRow(ctx, `select k.request_hash, k.status_code, k.response, coalesce(o.traceparent, '')
		from idempotency_keys k left join orders o using (order_id) where k.key = $1`, key).
		Scan(&earlierHash, &earlier.status, &answer, &earlier.traceparent)
	if err != nil {
		return p, fmt.Errorf("read idempotency key: %w", err)
	}
	if !bytes.Equal(earlierHash, hash) {
		return p, service.NewProblem(http.StatusUnprocessableEntity, "idempotency_key_reused",
			"the Idempotency-Key was used with another request: use a new key for a new order")
	}
	if err := json.Unmarshal(answer, &earlier.response); err != nil {
		return p, fmt.Errorf("stored response: %w", err)
	}
	return earlier, nil
}

// hashRequest identifies what is asked for, whatever the spacing and the order of
// fields in the body.
func hashRequest(r placeRequest) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("hash request: %w", err)
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// forgetKeys removes idempotency keys of requests before the given time: a client
// that repeats a request does so within hours.
func (s *store) forgetKeys(ctx context.Context, before time.Time) error {
	if _, err := s.pool.Exec(ctx, `delete from idempotency_keys where created_at < $1`, before); err != nil {
		return fmt.Errorf("forget idempotency keys: %w", err)
	}
	return nil
}
