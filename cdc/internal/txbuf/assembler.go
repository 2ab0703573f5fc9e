package txbuf

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// ErrProtocol says that messages came in an order the protocol does not have.
// Nothing after it can be trusted: reconnect.
var ErrProtocol = errors.New("logical replication stream out of order")

// Config says how an Assembler keeps open transactions.
type Config struct {
	// MemoryLimit is how many bytes all transactions together hold in memory.
	MemoryLimit int64
	// Dir is where transactions beyond it go; empty is the system's.
	Dir string
	// Prefix is that of the logical messages to keep; others are dropped.
	Prefix string
	// OnSpill is told of bytes written to disk. It may be nil.
	OnSpill func(bytes int64)
}

// Assembler makes transactions of messages. It is used by one goroutine; the
// transactions it returns may be read by another.
type Assembler struct {
	store store
	cfg   Config
	// current is the transaction between Begin and Commit.
	current *Tx
	// open are the streamed transactions that have not ended; stream is the one
	// whose block we are in.
	open   map[uint32]*Tx
	stream *Tx
}

// New returns an Assembler without transactions.
func New(cfg Config) *Assembler {
	return &Assembler{cfg: cfg, store: store{limit: cfg.MemoryLimit, dir: cfg.Dir, onSpill: cfg.OnSpill}, open: map[uint32]*Tx{}}
}

// Idle tells that no transaction is half received: positions that the server
// reports now lie behind everything it has sent. Streamed transactions do not
// count; their position is that of a commit that has yet to come.
func (a *Assembler) Idle() bool { return a.current == nil && a.stream == nil }

// Open is the number of transactions kept until their end comes.
func (a *Assembler) Open() int {
	n := len(a.open)
	if a.current != nil {
		n++
	}
	return n
}

// InMemory is the number of bytes held, including returned transactions that
// were not released.
func (a *Assembler) InMemory() int64 { return a.store.used.Load() }

// Close releases the transactions that never ended.
func (a *Assembler) Close() {
	if a.current != nil {
		a.current.Release()
	}
	for _, tx := range a.open {
		tx.Release()
	}
	a.current, a.stream, a.open = nil, nil, map[uint32]*Tx{}
}

// Add takes the next message, which stood at pos. When it completes a
// transaction, that is returned, even if nothing of it is left to read.
func (a *Assembler) Add(pos pgoutput.LSN, data []byte) (*Tx, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: empty message", ErrProtocol)
	}
	switch t := pgoutput.MessageType(data[0]); t {
	case pgoutput.TypeInsert, pgoutput.TypeUpdate, pgoutput.TypeDelete, pgoutput.TypeTruncate, pgoutput.TypeRelation, pgoutput.TypeType:
		return nil, a.keep(pos, data)
	case pgoutput.TypeMessage:
		return nil, a.message(pos, data)
	default:
		m, err := pgoutput.Decode(data, false)
		if err != nil {
			return nil, err
		}
		return a.control(m)
	}
}

// receiving returns the transaction that the next message belongs to.
func (a *Assembler) receiving() *Tx {
	if a.stream != nil {
		return a.stream
	}
	return a.current
}

func (a *Assembler) keep(pos pgoutput.LSN, data []byte) error {
	tx := a.receiving()
	if tx == nil {
		return fmt.Errorf("%w: message %q outside a transaction", ErrProtocol, data[0])
	}
	if a.stream != nil && len(data) < 5 {
		return fmt.Errorf("%w: message %q without its transaction", ErrProtocol, data[0])
	}
	if err := tx.spool.append(pos, data); err != nil {
		return err
	}
	// What is over the limit may also belong to transactions that are being
	// published, which do not spill: they shrink by themselves.
	for a.store.over() {
		tx := a.largest()
		if tx.spool.memory < minSpill {
			break
		}
		if err := tx.spool.spill(); err != nil {
			return err
		}
	}
	return nil
}

// largest returns the open transaction with most memory.
func (a *Assembler) largest() *Tx {
	best := a.receiving()
	for _, tx := range a.open {
		if tx.spool.memory > best.spool.memory {
			best = tx
		}
	}
	return best
}

// message keeps a logical message with our prefix. One that is not part of a
// transaction has no place in one, whatever its prefix.
func (a *Assembler) message(pos pgoutput.LSN, data []byte) error {
	m, err := pgoutput.Decode(data, a.stream != nil)
	if err != nil {
		return err
	}
	if msg := m.(*pgoutput.Message); !msg.Transactional || msg.Prefix != a.cfg.Prefix {
		return nil
	}
	return a.keep(pos, data)
}

func (a *Assembler) control(m any) (*Tx, error) {
	switch m := m.(type) {
	case *pgoutput.Begin:
		if !a.Idle() {
			return nil, fmt.Errorf("%w: Begin inside a transaction", ErrProtocol)
		}
		a.current = newTx(&a.store, m.XID, false)
	case *pgoutput.Commit:
		tx := a.current
		if tx == nil {
			return nil, fmt.Errorf("%w: Commit without Begin", ErrProtocol)
		}
		a.current = nil
		return tx, tx.complete(*m)
	case *pgoutput.Origin:
		tx := a.receiving()
		if tx == nil {
			return nil, fmt.Errorf("%w: Origin outside a transaction", ErrProtocol)
		}
		tx.Origin, tx.OriginLSN = m.Name, m.LSN
	case *pgoutput.StreamStart:
		return nil, a.streamStart(m)
	case *pgoutput.StreamStop:
		if a.stream == nil {
			return nil, fmt.Errorf("%w: Stream Stop without Stream Start", ErrProtocol)
		}
		a.stream = nil
	case *pgoutput.StreamCommit:
		tx := a.open[m.XID]
		if tx == nil || !a.Idle() {
			return nil, fmt.Errorf("%w: Stream Commit of transaction %d, which is not open", ErrProtocol, m.XID)
		}
		delete(a.open, m.XID)
		return tx, tx.complete(m.Commit)
	case *pgoutput.StreamAbort:
		a.abort(m)
	}
	return nil, nil
}

func (a *Assembler) streamStart(m *pgoutput.StreamStart) error {
	if !a.Idle() {
		return fmt.Errorf("%w: Stream Start inside a transaction", ErrProtocol)
	}
	tx := a.open[m.XID]
	switch {
	case tx == nil && !m.First:
		return fmt.Errorf("%w: transaction %d continues without a beginning", ErrProtocol, m.XID)
	case tx != nil && m.First:
		return fmt.Errorf("%w: transaction %d begins twice", ErrProtocol, m.XID)
	case tx == nil:
		tx = newTx(&a.store, m.XID, true)
		a.open[m.XID] = tx
	}
	a.stream = tx
	return nil
}

// abort discards a transaction or a subtransaction. Aborts of what we never
// received are normal: PostgreSQL sends them for transactions aborted after a
// reconnect, and some versions without need.
func (a *Assembler) abort(m *pgoutput.StreamAbort) {
	tx := a.open[m.XID]
	switch {
	case tx == nil:
	case m.SubXID == m.XID:
		delete(a.open, m.XID)
		tx.Release()
	default:
		if tx.aborted == nil {
			tx.aborted = map[uint32]struct{}{}
		}
		tx.aborted[m.SubXID] = struct{}{}
	}
}

// subtransaction returns the subtransaction of a streamed message.
func subtransaction(data []byte) uint32 { return binary.BigEndian.Uint32(data[1:]) }
