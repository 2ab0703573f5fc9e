package txbuf

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// Tx is a committed transaction, read once, front to back.
type Tx struct {
	XID uint32
	// CommitLSN is where the commit record starts, EndLSN where it ends.
	CommitLSN, EndLSN pgoutput.LSN
	CommitTime        time.Time
	// Origin names where the transaction was replicated from, at OriginLSN there.
	Origin    string
	OriginLSN pgoutput.LSN
	// Streamed tells Decode how to read the messages.
	Streamed bool

	spool   spool
	aborted map[uint32]struct{}
}

func newTx(s *store, xid uint32, streamed bool) *Tx {
	return &Tx{XID: xid, Streamed: streamed, spool: spool{store: s}}
}

func (t *Tx) complete(c pgoutput.Commit) error {
	if c.EndLSN == 0 {
		return fmt.Errorf("%w: transaction %d commits nowhere", ErrProtocol, t.XID)
	}
	t.CommitLSN, t.EndLSN, t.CommitTime = c.CommitLSN, c.EndLSN, c.CommitTime
	return nil
}

// Next returns the next message of the transaction, without those of aborted
// subtransactions, and where it stood. The bytes are valid until the following
// call. At the end the error is io.EOF.
func (t *Tx) Next() (pgoutput.LSN, []byte, error) {
	for {
		pos, data, err := t.spool.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("read transaction %d back: %w", t.XID, err)
			}
			return 0, nil, err
		}
		if len(t.aborted) > 0 && t.drops(data) {
			continue
		}
		return pos, data, nil
	}
}

func (t *Tx) drops(data []byte) bool {
	switch pgoutput.MessageType(data[0]) {
	case pgoutput.TypeRelation, pgoutput.TypeType:
		return false
	}
	_, dropped := t.aborted[subtransaction(data)]
	return dropped
}

// Release gives memory and files back. The transaction cannot be read after it.
func (t *Tx) Release() { t.spool.release() }
