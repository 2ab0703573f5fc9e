package outbox

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// DB is what Migrate and Adopt work on: a *pgx.Conn, a *pgxpool.Pool, or a pgx.Tx.
type DB interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// migrations are the steps from an empty database to the current layout. A
// released step never changes; a new layout is a new step.
var migrations = []string{schemaV1}

//go:embed schema.sql
var schemaV1 string

// migrateLock serialises concurrent calls of Migrate in one database.
const migrateLock = 0x6f7574626f781 // "outbox", 1

// Migrate creates or updates the schema outbox in the database of db. It may be
// called at every start, by several processes at once. The role needs CREATE on
// the database, and owns what it creates; writers with other roles need USAGE on
// the schema and its sequences and INSERT on outbox.event.
func Migrate(ctx context.Context, db DB) error {
	return inTx(ctx, db, "migrate", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrateLock)); err != nil {
			return err
		}
		version, err := installed(ctx, tx)
		if err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("the schema outbox has version %d, this program knows %d: run a newer release of it", version, len(migrations))
		}
		for v := version; v < len(migrations); v++ {
			// Without arguments pgx sends the script as it is, several statements at once.
			if _, err := tx.Exec(ctx, migrations[v]); err != nil {
				return fmt.Errorf("step %d: %w", v+1, err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO outbox.version (version) VALUES ($1)", v+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// installed returns the version of the layout in the database; 0 = none.
func installed(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('outbox.version') IS NOT NULL").Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM outbox.version").Scan(&version)
	return version, err
}

// Adopt makes an outbox that came from another PostgreSQL cluster (by dump and
// restore, or logical copy) this cluster's own: the relay refuses it with a
// *ClusterChangedError until then, because its cursor counts in the transaction
// numbers of the old cluster. Every event still in the tables is published again,
// in the old order; consumers that keep the ids of what they handled see no
// difference. Stop the relay and the writers of the old database first.
func Adopt(ctx context.Context, db DB) error {
	return inTx(ctx, db, "adopt", func(tx pgx.Tx) error {
		for _, sql := range []string{
			"LOCK TABLE outbox.event, outbox.progress IN ACCESS EXCLUSIVE MODE",
			"UPDATE outbox.event SET xid = pg_current_xact_id()",
			"TRUNCATE outbox.progress",
			"INSERT INTO outbox.progress (cursor, system_identifier) SELECT '1:1:', system_identifier FROM pg_control_system()",
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

func inTx(ctx context.Context, db DB, what string, do func(pgx.Tx) error) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("outbox: %s: %w", what, err)
	}
	defer tx.Rollback(ctx) //nolint:errcheck // after a commit there is nothing to roll back
	if err := do(tx); err != nil {
		return fmt.Errorf("outbox: %s: %w", what, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("outbox: %s: %w", what, err)
	}
	return nil
}
