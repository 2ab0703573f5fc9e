package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
	"github.com/quokka-stream/quokka/cdc/internal/rowavro"
)

// catalog asks the database what the stream does not tell: what a type is, and
// what is published. Its answers are of now, which may be later than the stream
// is; what must be exact, columns and their types, comes from the stream.
type catalog struct {
	mu    sync.Mutex // a connection does one thing at a time
	conn  *pgx.Conn
	types map[uint32]*rowavro.PGType
}

func openCatalog(ctx context.Context, url, database string) (*catalog, error) {
	conn, err := connect(ctx, url, database, nil)
	if err != nil {
		return nil, err
	}
	return &catalog{conn: conn, types: map[uint32]*rowavro.PGType{}}, nil
}

// connect opens an ordinary session under the settings of the stream.
func connect(ctx context.Context, url, database string, settings map[string]string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.Database = database
	maps.Copy(cfg.RuntimeParams, pgrepl.Settings())
	maps.Copy(cfg.RuntimeParams, settings)
	cfg.RuntimeParams["application_name"] = applicationName
	return pgx.ConnectConfig(ctx, cfg)
}

func (c *catalog) close() { _ = c.conn.Close(context.Background()) }

// published is a table of the publication.
type published struct {
	oid          uint32
	schema, name string
	// kind is 'r' for a table, 'p' for a partitioned one.
	kind     byte
	identity pgoutput.ReplicaIdentity
	columns  []string
	// filter is the publication's row filter, an SQL expression, or empty.
	filter string
}

func (p published) String() string { return p.schema + "." + p.name }

// publication returns the published tables. Not everything need be published of
// them: columns and rows can be chosen.
func (c *catalog) publication(ctx context.Context, name string) ([]published, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows, err := c.conn.Query(ctx, `SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relreplident::text, t.attnames::text[], coalesce(t.rowfilter, '')
		FROM pg_publication_tables t
		JOIN pg_namespace n ON n.nspname = t.schemaname
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE t.pubname = $1 ORDER BY 2, 3`, name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (published, error) {
		var p published
		var kind, identity string
		err := row.Scan(&p.oid, &p.schema, &p.name, &kind, &identity, &p.columns, &p.filter)
		if err == nil {
			p.kind, p.identity = kind[0], pgoutput.ReplicaIdentity(identity[0])
		}
		return p, err
	})
}

// tableColumn is a column as the catalog has it.
type tableColumn struct {
	name      string
	typ       uint32
	mod       int32
	dims      int
	generated bool
	// primary and identity tell whether it is of the primary key, and of the
	// index chosen as replica identity.
	primary, identity bool
}

func (c *catalog) attributes(ctx context.Context, relation uint32) ([]tableColumn, error) {
	rows, err := c.conn.Query(ctx, `SELECT a.attname::text, a.atttypid, a.atttypmod, a.attndims::int, a.attgenerated <> '',
			coalesce(a.attnum = ANY ((p.indkey::int2[])[0:p.indnkeyatts - 1]), false),
			coalesce(a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]), false)
		FROM pg_attribute a
		LEFT JOIN pg_index p ON p.indrelid = a.attrelid AND p.indisprimary
		LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisreplident
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, relation)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (tableColumn, error) {
		var a tableColumn
		err := row.Scan(&a.name, &a.typ, &a.mod, &a.dims, &a.generated, &a.primary, &a.identity)
		return a, err
	})
}

// relation describes a published table as the stream would.
func (c *catalog) relation(ctx context.Context, p published) (*pgoutput.Relation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	attributes, err := c.attributes(ctx, p.oid)
	if err != nil {
		return nil, err
	}
	var version int
	if err := c.conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return nil, err
	}
	r := &pgoutput.Relation{ID: p.oid, Namespace: p.schema, Name: p.name, Identity: p.identity}
	for _, a := range attributes {
		// Generated columns were not published before PostgreSQL 18, whatever the
		// view says.
		if !slices.Contains(p.columns, a.name) || a.generated && version < 180000 {
			continue
		}
		key := a.primary
		switch p.identity {
		case pgoutput.IdentityFull:
			key = true
		case pgoutput.IdentityIndex:
			key = a.identity
		case pgoutput.IdentityNothing:
			key = false
		}
		r.Columns = append(r.Columns, pgoutput.Column{Key: key, Name: a.name, TypeOID: a.typ, TypeMod: a.mod})
	}
	if len(r.Columns) == 0 {
		return nil, fmt.Errorf("table %s has no published columns", p)
	}
	return r, nil
}

// pgType returns a type, nil where there is none any more.
func (c *catalog) pgType(ctx context.Context, oid uint32) (*rowavro.PGType, error) {
	if t, ok := c.types[oid]; ok {
		return t, nil
	}
	t := &rowavro.PGType{OID: oid}
	var kind, delim string
	var base, elem uint32
	err := c.conn.QueryRow(ctx, `SELECT t.typname::text, t.typtype::text, t.typbasetype, t.typtypmod, t.typndims::int,
			coalesce(e.oid, 0), coalesce(e.typdelim, ',')::text,
			array(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
		FROM pg_type t LEFT JOIN pg_type e ON e.typarray = t.oid WHERE t.oid = $1`, oid).
		Scan(&t.Name, &kind, &base, &t.BaseMod, &t.BaseDims, &elem, &delim, &t.Labels)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up type %d: %w", oid, err)
	}
	t.Kind, t.Delim = kind[0], delim[0]
	if base != 0 {
		if t.Base, err = c.pgType(ctx, base); err != nil {
			return nil, err
		}
	}
	if elem != 0 {
		if t.Elem, err = c.pgType(ctx, elem); err != nil {
			return nil, err
		}
	}
	if t.Kind != 'e' { // an enum's labels change
		c.types[oid] = t
	}
	return t, nil
}

// columns decides how the columns of a relation are written, and which are its
// key.
//
// The key is the primary key's columns, else those of the index chosen as
// replica identity. With the default identity and with an index, the stream
// marks them itself. With FULL it marks all columns and with NOTHING none, so
// the catalog is asked for the primary key.
func (c *catalog) columns(ctx context.Context, r *pgoutput.Relation) ([]rowavro.Column, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.attributes(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	byName := map[string]tableColumn{}
	for _, a := range now {
		byName[a.name] = a
	}
	marked := marksKey(r)
	out := make([]rowavro.Column, len(r.Columns))
	for i, col := range r.Columns {
		t, err := c.pgType(ctx, col.TypeOID)
		if err != nil {
			return nil, err
		}
		a := byName[col.Name]
		typ, f := rowavro.Map(t, col.TypeMod, a.dims)
		out[i] = rowavro.Column{Name: col.Name, Type: typ, Append: f, Key: marked && col.Key || !marked && a.primary}
	}
	return out, nil
}

// slotLag returns how much log the server has that the slot has not confirmed.
func (c *catalog) slotLag(ctx context.Context, slot string) (bytes float64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.conn.QueryRow(ctx, "SELECT coalesce(pg_current_wal_flush_lsn() - confirmed_flush_lsn, 0)::float8 FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&bytes)
	return bytes, err
}

// estimate returns about how many rows a table has.
func (c *catalog) estimate(ctx context.Context, relation uint32) (rows float64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.conn.QueryRow(ctx, "SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = $1", relation).Scan(&rows)
	return rows, err
}

// marksKey tells whether the columns that a relation marks are the key.
func marksKey(r *pgoutput.Relation) bool {
	return r.Identity == pgoutput.IdentityDefault || r.Identity == pgoutput.IdentityIndex
}

// quoted returns an SQL name of a published table.
func (p published) quoted() string { return pgx.Identifier{p.schema, p.name}.Sanitize() }

// selection is the query that reads the published rows of a table.
func (p published) selection(r *pgoutput.Relation) string {
	names := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = pgx.Identifier{c.Name}.Sanitize()
	}
	from := " FROM ONLY " // children are published, and read, by themselves
	if p.kind == 'p' {
		from = " FROM "
	}
	query := "SELECT " + strings.Join(names, ", ") + from + p.quoted()
	if p.filter != "" {
		query += " WHERE " + p.filter
	}
	return query
}
