package pgrepl

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// ErrEnded says that the server ended the stream: it shuts down.
var ErrEnded = errors.New("the server ended the replication stream")

// readBuffer holds what is read ahead. Messages in it are handed out in place.
const readBuffer = 256 << 10

// Stream is a slot's stream.
type Stream struct {
	conn net.Conn
	in   *bufio.Reader
	// skip are bytes handed out by the last Receive, still in the buffer.
	skip int
	big  []byte // a message larger than the buffer

	sending sync.Mutex
	out     []byte
}

// Options say what to stream.
type Options struct {
	Slot, Publication string
	// From is the position behind which commits are wanted.
	From pgoutput.LSN
	// Whole keeps the server from sending large transactions before their end.
	Whole bool
}

// Start starts to stream from the slot: the changes of the publication's tables
// and the logical messages of all sessions. The connection cannot be used for
// anything else any more.
func (c *Conn) Start(ctx context.Context, o Options) (*Stream, error) {
	// After a write that took more than some milliseconds pgconn may still be reading
	// in the background: it would take the answer, and this would wait for ever.
	if err := c.pg.SyncConn(ctx); err != nil {
		return nil, err
	}
	hijacked, err := c.pg.Hijack()
	if err != nil {
		return nil, err
	}
	s := &Stream{conn: hijacked.Conn, in: bufio.NewReaderSize(&coalescer{conn: hijacked.Conn}, readBuffer)}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	streaming := "on"
	if o.Whole {
		streaming = "off"
	}
	query := fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL %s (proto_version '2', streaming '%s', messages 'true', publication_names %s)",
		identifier(o.Slot), o.From, streaming, literal(identifier(o.Publication)))
	if err := s.start(query); err != nil {
		_ = s.conn.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return s, nil
}

func (s *Stream) start(query string) error {
	b, err := (&pgproto3.Query{String: query}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := s.conn.Write(b); err != nil {
		return err
	}
	for {
		typ, _, err := s.frame()
		if err != nil {
			return err
		}
		switch typ {
		case 'W': // CopyBothResponse
			return nil
		case 'S', 'N', 'A': // settings, notices, notifications: at any time
		default:
			return fmt.Errorf("unexpected answer %q to START_REPLICATION", typ)
		}
	}
}

// frame reads the next protocol message. Its body is valid until the next call.
// A server's error is returned as *pgconn.PgError.
func (s *Stream) frame() (byte, []byte, error) {
	if s.skip > 0 {
		if _, err := s.in.Discard(s.skip); err != nil {
			return 0, nil, err
		}
		s.skip = 0
	}
	head, err := s.in.Peek(5)
	if err != nil {
		return 0, nil, noEOF(err)
	}
	typ := head[0]
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 1<<30 {
		return 0, nil, fmt.Errorf("message %q of length %d in the replication stream", typ, n)
	}
	var body []byte
	if 5+n <= s.in.Size() {
		b, err := s.in.Peek(5 + n)
		if err != nil {
			return 0, nil, noEOF(err)
		}
		body, s.skip = b[5:], 5+n
	} else {
		if _, err := s.in.Discard(5); err != nil {
			return 0, nil, noEOF(err)
		}
		if cap(s.big) < n {
			s.big = make([]byte, n)
		}
		body = s.big[:n]
		if _, err := io.ReadFull(s.in, body); err != nil {
			return 0, nil, noEOF(err)
		}
	}
	if typ == 'E' {
		var e pgproto3.ErrorResponse
		if err := e.Decode(body); err != nil {
			return 0, nil, err
		}
		return 0, nil, pgconn.ErrorResponseToPgError(&e)
	}
	return typ, body, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Message is what Receive returns.
type Message struct {
	// Data is a pgoutput message, valid until the next Receive; nil for a
	// keepalive.
	Data []byte
	// Pos is where the message's change stands in the log; for a keepalive, how
	// far the server has read.
	Pos pgoutput.LSN
	// Reply asks for a status at once.
	Reply bool
}

// Receive waits for the next message.
func (s *Stream) Receive() (Message, error) {
	for {
		typ, body, err := s.frame()
		if err != nil {
			return Message{}, err
		}
		switch {
		case typ == 'd' && len(body) >= 25 && body[0] == 'w':
			return Message{Data: body[25:], Pos: pgoutput.LSN(binary.BigEndian.Uint64(body[1:]))}, nil
		case typ == 'd' && len(body) == 18 && body[0] == 'k':
			return Message{Pos: pgoutput.LSN(binary.BigEndian.Uint64(body[1:])), Reply: body[17] != 0}, nil
		case typ == 'c' || typ == 'C' || typ == 'Z':
			return Message{}, ErrEnded
		case typ == 'S' || typ == 'N' || typ == 'A':
		default:
			return Message{}, fmt.Errorf("unexpected message %q in the replication stream", typ)
		}
	}
}

// writeTimeout bounds a write of a few bytes to a server that is there.
const writeTimeout = 30 * time.Second

// Status tells the server how far we are: received in memory, and confirmed,
// before which it may forget. ask makes it answer.
func (s *Stream) Status(received, confirmed pgoutput.LSN, ask bool) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	b := append(s.out[:0], 'd', 0, 0, 0, 4+34, 'r')
	b = binary.BigEndian.AppendUint64(b, uint64(max(received, confirmed)))
	b = binary.BigEndian.AppendUint64(b, uint64(confirmed))
	b = binary.BigEndian.AppendUint64(b, uint64(confirmed))
	b = binary.BigEndian.AppendUint64(b, uint64(pgoutput.WireTime(time.Now())))
	if ask {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	s.out = b
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// Interrupt makes Receive fail, once what is read ahead has been handed out.
func (s *Stream) Interrupt() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) }

// closeTimeout bounds the wait for the server's end of the connection.
const closeTimeout = time.Second

// Close ends the stream and the connection. What was sent before is processed.
// It waits a moment for the server to close its end, because only then is the
// slot free for the next.
func (s *Stream) Close() error {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.conn.SetDeadline(time.Now().Add(closeTimeout))
	if _, err := s.conn.Write([]byte{'X', 0, 0, 0, 4}); err == nil {
		_, _ = io.Copy(io.Discard, s.conn)
	}
	return s.conn.Close()
}
