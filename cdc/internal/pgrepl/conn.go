package pgrepl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// Settings are session settings under which every value has one text form,
// whatever the server, database or role have configured. The snapshot and the
// stream of a slot use the same, so that a row reads the same from both.
func Settings() map[string]string {
	return map[string]string{
		"client_encoding":    "UTF8",
		"DateStyle":          "ISO",
		"IntervalStyle":      "postgres",
		"TimeZone":           "UTC",
		"extra_float_digits": "3",
		"bytea_output":       "hex",
		"lc_monetary":        "C",
		"search_path":        "pg_catalog",
		// A slot's snapshot lives in an idle transaction, and a standby
		// instance's connection idles for long.
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
		"idle_session_timeout":                "0",
	}
}

// Conn is a connection in replication mode. It also runs plain SQL.
type Conn struct {
	pg *pgconn.PgConn
}

// Connect connects to cfg's database in replication mode.
func Connect(ctx context.Context, cfg *pgconn.Config) (*Conn, error) {
	cfg = cfg.Copy()
	if cfg.RuntimeParams == nil {
		cfg.RuntimeParams = map[string]string{}
	}
	maps.Copy(cfg.RuntimeParams, Settings())
	cfg.RuntimeParams["replication"] = "database"
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := KeepEncoding(ctx, pg); err != nil {
		_ = pg.Close(ctx)
		return nil, err
	}
	return &Conn{pg: pg}, nil
}

// KeepEncoding makes a session of a database without an encoding (SQL_ASCII)
// return text as it is. Else the server fails at the first byte that is not
// UTF-8, and with it everything behind that byte; so it is the one value that
// fails.
func KeepEncoding(ctx context.Context, pg *pgconn.PgConn) error {
	if pg.ParameterStatus("server_encoding") != "SQL_ASCII" {
		return nil
	}
	_, err := pg.Exec(ctx, "SET client_encoding TO 'SQL_ASCII'").ReadAll()
	return err
}

// Close ends the connection and with it all it holds: locks, temporary slots,
// an exported snapshot.
func (c *Conn) Close(ctx context.Context) { _ = c.pg.Close(ctx) }

// rows runs SQL or a replication command and returns the rows of its last
// result; nil is null.
func (c *Conn) rows(ctx context.Context, sql string) ([][][]byte, error) {
	results, err := c.pg.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, nil
	}
	return results[len(results)-1].Rows, nil
}

func (c *Conn) row(ctx context.Context, sql string, columns int) ([][]byte, error) {
	rows, err := c.rows(ctx, sql)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || len(rows[0]) < columns {
		return nil, fmt.Errorf("%s: unexpected answer of %d rows", sql, len(rows))
	}
	return rows[0], nil
}

// System identifies a server.
type System struct {
	// ID is the same for a cluster and its physical copies.
	ID       string
	Timeline int
	// Flushed is how far the log is on disk.
	Flushed  pgoutput.LSN
	Database string
}

// IdentifySystem asks the server who it is.
func (c *Conn) IdentifySystem(ctx context.Context) (System, error) {
	r, err := c.row(ctx, "IDENTIFY_SYSTEM", 4)
	if err != nil {
		return System{}, err
	}
	s := System{ID: string(r[0]), Database: string(r[3])}
	if s.Timeline, err = strconv.Atoi(string(r[1])); err != nil {
		return System{}, err
	}
	s.Flushed, err = pgoutput.ParseLSN(string(r[2]))
	return s, err
}

// Setting returns the value of a server setting.
func (c *Conn) Setting(ctx context.Context, name string) (string, error) {
	r, err := c.row(ctx, "SELECT current_setting("+literal(name)+")", 1)
	if err != nil {
		return "", err
	}
	return string(r[0]), nil
}

// TryLock takes the database-wide advisory lock of this name, if nobody has it,
// until the connection ends. It never waits: a session that waits in a
// statement holds back the whole server's vacuum.
func (c *Conn) TryLock(ctx context.Context, name string) (bool, error) {
	r, err := c.row(ctx, "SELECT pg_try_advisory_lock(hashtextextended("+literal(name)+", 0))", 1)
	if err != nil {
		return false, err
	}
	return string(r[0]) == "t", nil
}

// PublicationExists tells whether the database has the publication.
func (c *Conn) PublicationExists(ctx context.Context, name string) (bool, error) {
	r, err := c.rows(ctx, "SELECT 1 FROM pg_publication WHERE pubname = "+literal(name))
	return len(r) > 0, err
}

// CodeOf returns the SQLSTATE of a server's error, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// literal quotes an SQL text.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// identifier quotes an SQL name.
func identifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
