package pgoutput

import "time"

// MessageType is a message's first byte.
type MessageType byte

// The message types of protocol version 2.
const (
	TypeBegin        MessageType = 'B'
	TypeMessage      MessageType = 'M'
	TypeCommit       MessageType = 'C'
	TypeOrigin       MessageType = 'O'
	TypeRelation     MessageType = 'R'
	TypeType         MessageType = 'Y'
	TypeInsert       MessageType = 'I'
	TypeUpdate       MessageType = 'U'
	TypeDelete       MessageType = 'D'
	TypeTruncate     MessageType = 'T'
	TypeStreamStart  MessageType = 'S'
	TypeStreamStop   MessageType = 'E'
	TypeStreamCommit MessageType = 'c'
	TypeStreamAbort  MessageType = 'A'
)

// Begin opens a transaction that was not streamed; all of it follows, up to its
// Commit.
type Begin struct {
	// FinalLSN is where the commit record starts.
	FinalLSN   LSN
	CommitTime time.Time
	XID        uint32
}

// Commit ends a transaction.
type Commit struct {
	// CommitLSN is where the commit record starts, EndLSN where it ends: the
	// transaction's position, and the one to confirm.
	CommitLSN, EndLSN LSN
	CommitTime        time.Time
}

// Origin says that the transaction was replicated from elsewhere.
type Origin struct {
	// LSN is the commit's position at the origin.
	LSN  LSN
	Name string
}

// ReplicaIdentity says which columns of the old row a change carries.
type ReplicaIdentity byte

// The replica identities.
const (
	IdentityDefault ReplicaIdentity = 'd' // the primary key's
	IdentityNothing ReplicaIdentity = 'n' // none
	IdentityFull    ReplicaIdentity = 'f' // all
	IdentityIndex   ReplicaIdentity = 'i' // a chosen unique index's
)

// Relation describes a table whose changes follow.
type Relation struct {
	// XID is the subtransaction, where streamed.
	XID       uint32
	ID        uint32
	Namespace string
	Name      string
	Identity  ReplicaIdentity
	Columns   []Column
}

// Column is a published column.
type Column struct {
	// Key is set for columns of the replica identity: for IdentityFull, all.
	Key     bool
	Name    string
	TypeOID uint32
	TypeMod int32
}

// Type names a type that is not built in.
type Type struct {
	XID       uint32
	OID       uint32
	Namespace string
	Name      string
}

// Row is the insert, update or delete of one row.
type Row struct {
	XID uint32
	// Type is TypeInsert, TypeUpdate or TypeDelete.
	Type     MessageType
	Relation uint32
	// OldKind says what Old holds.
	OldKind OldKind
	Old     Tuple
	// New is empty for a delete.
	New Tuple
}

// OldKind says how much of the old row is known.
type OldKind byte

// The kinds of old row.
const (
	OldNone OldKind = 0   // nothing
	OldKey  OldKind = 'K' // the columns of the replica identity; others are null
	OldFull OldKind = 'O' // every column
)

// Tuple is a row: one datum for each column of the Relation.
type Tuple []Datum

// Datum is a column's value.
type Datum struct {
	Kind DatumKind
	// Data is the value, as PostgreSQL's text unless Kind is Binary.
	Data []byte
}

// DatumKind tells a value from its absence.
type DatumKind byte

// The kinds of datum.
const (
	Null      DatumKind = 'n'
	Unchanged DatumKind = 'u' // stored out of line, not touched and not sent
	Text      DatumKind = 't'
	Binary    DatumKind = 'b'
)

// Truncate empties tables.
type Truncate struct {
	XID             uint32
	Cascade         bool
	RestartIdentity bool
	Relations       []uint32
}

// Message is what a session wrote with pg_logical_emit_message.
type Message struct {
	// XID is the subtransaction, where streamed.
	XID           uint32
	Transactional bool
	LSN           LSN
	Prefix        string
	Content       []byte
}

// StreamStart opens a block of messages of one transaction that has not ended
// yet. First is set for the transaction's first block.
type StreamStart struct {
	XID   uint32
	First bool
}

// StreamStop closes the block.
type StreamStop struct{}

// StreamCommit ends a streamed transaction.
type StreamCommit struct {
	XID uint32
	Commit
}

// StreamAbort discards a streamed transaction or, if SubXID is another, that
// subtransaction of it.
type StreamAbort struct {
	XID, SubXID uint32
}
