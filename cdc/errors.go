package cdc

import (
	"errors"
	"fmt"
)

// What can be wrong with a slot; a *SlotError is one of them. None of it passes
// by itself, and none is worked around: the changes in between would be missing
// without anyone noticing.
var (
	// ErrSlotLost: the slot is gone, or the server has given it up.
	ErrSlotLost = errors.New("the replication slot is lost")
	// ErrSlotMoved: the slot is confirmed beyond what was stored as written.
	ErrSlotMoved = errors.New("the replication slot was moved")
	// ErrOtherSystem: progress was made on another server.
	ErrOtherSystem = errors.New("the database server is another one")
	// ErrBehind: the server's log ends before what was stored as written.
	ErrBehind = errors.New("the database server went back in time")
	// ErrSlotUnknown: there is a slot, but no progress of ours.
	ErrSlotUnknown = errors.New("the replication slot is not known here")
	// ErrSlotForeign: the slot is another database's or another plugin's.
	ErrSlotForeign = errors.New("the replication slot belongs to someone else")
)

// SlotError stops a source: its slot and its progress do not fit together.
type SlotError struct {
	// Source and Slot are whose.
	Source, Slot string
	// Reason is one of the errors above.
	Reason error
	// Detail says what was found, WayOut what to do.
	Detail, WayOut string
}

func (e *SlotError) Error() string {
	return fmt.Sprintf("source %s: %v (slot %s: %s); %s", e.Source, e.Reason, e.Slot, e.Detail, e.WayOut)
}

func (e *SlotError) Unwrap() error { return e.Reason }

// TableError stops a table: its changes cannot be written. Other tables go on.
// The slot keeps the table's changes from the first that was left out, so that
// the relay, started again when the cause is gone, continues there.
type TableError struct {
	// Source, Table (with its schema) and Topic are whose.
	Source, Table, Topic string
	// Subject is set if the registry refused the table's schema.
	Subject string
	// Err is the cause, such as a *serde.IncompatibleError.
	Err error
}

func (e *TableError) Error() string {
	what := "its rows cannot be written"
	if e.Subject != "" {
		what = "the registry refused subject " + e.Subject
	}
	return fmt.Sprintf("source %s: table %s is stopped, %s: %v; other tables go on, the slot keeps its changes: remove the cause and restart cdc", e.Source, e.Table, what, e.Err)
}

func (e *TableError) Unwrap() error { return e.Err }

// A ServerError says what a database server lacks for logical replication.
type ServerError struct {
	Source string
	Detail string
}

func (e *ServerError) Error() string { return fmt.Sprintf("source %s: %s", e.Source, e.Detail) }

// permanent tells the errors that trying again does not help against.
func permanent(err error) bool {
	if _, ok := errors.AsType[*SlotError](err); ok {
		return true
	}
	_, ok := errors.AsType[*ServerError](err)
	return ok
}
