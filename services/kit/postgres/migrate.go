package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var kitMigrations embed.FS

// Migrate creates or updates the kit's tables, then the service's: the .sql files
// at the root of migrations, in goose's format, recorded in the table
// <service>_migrations. Instances that start together take turns. The pool's role
// will own what is created.
func Migrate(ctx context.Context, pool *pgxpool.Pool, service string, migrations fs.FS) error {
	own, err := fs.Sub(kitMigrations, "migrations")
	if err != nil {
		return err
	}
	if err := migrate(ctx, pool, "kit_migrations", own); err != nil {
		return err
	}
	return migrate(ctx, pool, service+"_migrations", migrations)
}

func migrate(ctx context.Context, pool *pgxpool.Pool, table string, files fs.FS) (err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(table), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database as recorded in %s: %w", table, explain(err))
	}
	return nil
}
