package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// names are what roles and databases may be called: nothing that needs quoting.
var names = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// provisionLock serialises Provision over the server's instances of it.
const provisionLock = 0x71756f6b6b61 // "quokka"

// Provision creates the role name and the database name that it owns, on the
// server of serverURL, whose login must be able to create both. It is idempotent.
// Other logins than administrators cannot connect to the database.
func Provision(ctx context.Context, serverURL, name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("provision: %q is not a database name: want lower-case letters, digits and underscores", name)
	}
	conn, err := pgx.Connect(ctx, serverURL)
	if err != nil {
		return fmt.Errorf("provision %s: %w", name, explain(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(provisionLock)); err != nil {
		return fmt.Errorf("provision %s: %w", name, err)
	}
	quoted := pgx.Identifier{name}.Sanitize()

	var role, database bool
	err = conn.QueryRow(ctx, `select exists (select from pg_roles where rolname = $1), exists (select from pg_database where datname = $1)`, name).Scan(&role, &database)
	if err != nil {
		return fmt.Errorf("provision %s: %w", name, err)
	}
	var statements []string
	if !role {
		statements = append(statements, "create role "+quoted+" nologin")
	}
	// An administrator who is no superuser must be a member of the role to give it a
	// database and to run as it.
	statements = append(statements, "grant "+quoted+" to current_user")
	if !database {
		statements = append(statements, "create database "+quoted+" owner "+quoted)
	}
	statements = append(statements, "revoke connect, temporary on database "+quoted+" from public")
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("provision %s: %s: %w", name, s, explain(err))
		}
	}
	return nil
}

// explain adds what to do to the errors that a wrong address or login gives.
func explain(err error) error {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && (pg.Code == "28P01" || pg.Code == "28000"):
		return fmt.Errorf("%w (check the login in QUOKKA_POSTGRES_URL)", err)
	case errors.As(err, &pg) && pg.Code == "3D000":
		return fmt.Errorf("%w (create it with `quokka up`, or postgres.Provision)", err)
	case errors.As(err, &pg) && pg.Code == "42501":
		return fmt.Errorf("%w (the login of QUOKKA_POSTGRES_URL needs the rights to create roles and databases, or those must exist)", err)
	case errors.As(err, &connect):
		return fmt.Errorf("%w (is PostgreSQL running there? QUOKKA_POSTGRES_URL names it)", err)
	}
	return err
}
