// Package ledger is what a client of the platform remembers of its own
// requests: which it sent and which were accepted. It lies beside the
// platform's data and knows nothing of it, so that after any fault it can say
// what the platform owes.
package ledger

import (
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/quokka-stream/quokka/deploy/journal"
)

// FileName is the ledger's file in the data directory.
const FileName = "accepted.jsonl"

// Sent is a request to place an order that was about to leave the client. It
// is written before the first attempt.
type Sent struct {
	Key        string    `json:"key"`
	CustomerID string    `json:"customer_id"`
	At         time.Time `json:"at"`
}

// Accepted is an answer 202. It is on disk before the client counts the order.
type Accepted struct {
	Key        string    `json:"key"`
	CustomerID string    `json:"customer_id"`
	OrderID    string    `json:"order_id"`
	At         time.Time `json:"at"`
}

// record is one line of the file; one of its fields is set.
type record struct {
	Sent     *Sent     `json:"sent,omitempty"`
	Accepted *Accepted `json:"accepted,omitempty"`
}

// Ledger is a ledger open for writing, by one client process at a time.
type Ledger struct{ file *journal.Journal }

// Open opens the ledger in the data directory.
func Open(dir string) (*Ledger, error) {
	file, err := journal.Open(filepath.Join(dir, FileName), func([]byte, int64) error { return nil })
	if err != nil {
		return nil, err
	}
	return &Ledger{file}, nil
}

// Send notes a request. A killed client has noted every request it made; only
// the end of the machine can lose a note, and with it the answer was lost too.
func (l *Ledger) Send(s Sent) error { return l.file.Note(record{Sent: &s}) }

// Accept notes an accepted order durably.
func (l *Ledger) Accept(a Accepted) error {
	_, err := l.file.Append(record{Accepted: &a})
	return err
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

// Read returns what the ledger in the data directory holds, which is nothing
// where no client ever kept one.
func Read(dir string) (sent []Sent, accepted []Accepted, err error) {
	err = journal.Replay(filepath.Join(dir, FileName), func(line []byte, _ int64) error {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Sent != nil {
			sent = append(sent, *r.Sent)
		}
		if r.Accepted != nil {
			accepted = append(accepted, *r.Accepted)
		}
		return nil
	})
	return sent, accepted, err
}
