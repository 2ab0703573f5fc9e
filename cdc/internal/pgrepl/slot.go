package pgrepl

import (
	"context"
	"fmt"
	"strconv"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// Slot is a replication slot as the server has it.
type Slot struct {
	Name     string
	Plugin   string
	Database string
	// ActivePID is the server process that streams from it, 0 for none.
	ActivePID int
	// Confirmed is the position from which it streams at the least.
	Confirmed pgoutput.LSN
	// WALStatus is "lost" when the log it needs is gone.
	WALStatus string
	// Invalidated says why the server has given it up, where it tells
	// (PostgreSQL 17 and later).
	Invalidated string
}

// FindSlot returns the slot of this name, nil where there is none. Slot names
// are the server's, not the database's.
func (c *Conn) FindSlot(ctx context.Context, name string) (*Slot, error) {
	rows, err := c.rows(ctx, `SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(active_pid, 0),
		coalesce(confirmed_flush_lsn, '0/0'), coalesce(wal_status, ''), coalesce(to_jsonb(s)->>'invalidation_reason', '')
		FROM pg_replication_slots s WHERE slot_name = `+literal(name))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := rows[0]
	s := &Slot{Name: name, Plugin: string(r[0]), Database: string(r[1]), WALStatus: string(r[4]), Invalidated: string(r[5])}
	if s.ActivePID, err = strconv.Atoi(string(r[2])); err != nil {
		return nil, err
	}
	s.Confirmed, err = pgoutput.ParseLSN(string(r[3]))
	return s, err
}

// Created is a new slot with its snapshot.
type Created struct {
	// ConsistentPoint divides history: what committed before it is in the
	// snapshot, what commits after it is in the stream, nothing in both or none.
	ConsistentPoint pgoutput.LSN
	// Snapshot can be imported by other sessions until the connection that
	// created the slot runs another command or ends.
	Snapshot string
}

// CreateSlot creates a slot and exports its snapshot. It waits for the end of
// the transactions that are running. A temporary slot ends with the connection.
func (c *Conn) CreateSlot(ctx context.Context, name string, temporary bool) (Created, error) {
	temp := ""
	if temporary {
		temp = "TEMPORARY "
	}
	r, err := c.row(ctx, "CREATE_REPLICATION_SLOT "+identifier(name)+" "+temp+"LOGICAL pgoutput (SNAPSHOT 'export')", 3)
	if err != nil {
		return Created{}, err
	}
	point, err := pgoutput.ParseLSN(string(r[1]))
	if err != nil {
		return Created{}, err
	}
	if len(r[2]) == 0 {
		return Created{}, fmt.Errorf("slot %s was created without a snapshot", name)
	}
	return Created{ConsistentPoint: point, Snapshot: string(r[2])}, nil
}

// DropSlot drops a slot that nobody streams from.
func (c *Conn) DropSlot(ctx context.Context, name string) error {
	_, err := c.rows(ctx, "DROP_REPLICATION_SLOT "+identifier(name))
	return err
}
