package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// tracePrefix is the prefix of the logical message that carries a transaction's
// trace context to change data capture.
const tracePrefix = "quokka.trace"

// EmitTrace writes the trace context of ctx into the transaction's WAL, so that
// change data capture can continue the trace. Call it as the first statement of a
// transaction that changes captured tables: capture reads the log in order. It
// does nothing outside a sampled trace.
func EmitTrace(ctx context.Context, tx pgx.Tx) error {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return nil
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	content := carrier["traceparent"] + "\n" + carrier["tracestate"]
	if _, err := tx.Exec(ctx, `select pg_logical_emit_message(true, $1, $2::text)`, tracePrefix, content); err != nil {
		return fmt.Errorf("emit trace context: %w", err)
	}
	return nil
}
