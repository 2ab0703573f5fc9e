package pgoutput

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed says that a message does not follow the protocol.
var ErrMalformed = errors.New("malformed pgoutput message")

// Decode decodes one message. streamed says that it arrived between Stream
// Start and Stream Stop. The result is a pointer to one of this package's
// message structs.
func Decode(src []byte, streamed bool) (any, error) {
	if len(src) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrMalformed)
	}
	d := decoder{typ: src[0], b: src[1:]}
	var m any
	switch t := MessageType(src[0]); t {
	case TypeBegin:
		m = &Begin{FinalLSN: d.lsn(), CommitTime: Time(d.int64()), XID: d.uint32()}
	case TypeCommit:
		c := d.commit()
		m = &c
	case TypeOrigin:
		m = &Origin{LSN: d.lsn(), Name: d.text()}
	case TypeRelation:
		m = d.relation(streamed)
	case TypeType:
		m = &Type{XID: d.xid(streamed), OID: d.uint32(), Namespace: d.text(), Name: d.text()}
	case TypeInsert, TypeUpdate, TypeDelete:
		r := &Row{}
		if err := r.Decode(src, streamed); err != nil {
			return nil, err
		}
		return r, nil
	case TypeTruncate:
		m = d.truncate(streamed)
	case TypeMessage:
		m = d.message(streamed)
	case TypeStreamStart:
		m = &StreamStart{XID: d.uint32(), First: d.byte() == 1}
	case TypeStreamStop:
		m = &StreamStop{}
	case TypeStreamCommit:
		m = &StreamCommit{XID: d.uint32(), Commit: d.commit()}
	case TypeStreamAbort:
		m = &StreamAbort{XID: d.uint32(), SubXID: d.uint32()}
		// Protocol version 4 adds a position and a time, which some servers
		// send unasked.
		if len(d.b) == 16 {
			d.b = nil
		}
	default:
		return nil, fmt.Errorf("%w: unknown type %q", ErrMalformed, src[0])
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return m, nil
}

// Decode decodes an insert, update or delete into r, reusing its tuples.
func (r *Row) Decode(src []byte, streamed bool) error {
	if len(src) == 0 {
		return fmt.Errorf("%w: empty", ErrMalformed)
	}
	d := decoder{typ: src[0], b: src[1:]}
	r.XID = d.xid(streamed)
	r.Type = MessageType(src[0])
	r.Relation = d.uint32()
	r.OldKind, r.Old, r.New = OldNone, r.Old[:0], r.New[:0]
	kind := d.byte()
	if k := OldKind(kind); (k == OldKey || k == OldFull) && r.Type != TypeInsert {
		r.OldKind = k
		r.Old = d.tuple(r.Old)
		if r.Type == TypeUpdate {
			kind = d.byte()
		}
	}
	switch {
	case r.Type == TypeDelete && r.OldKind != OldNone:
	case r.Type != TypeDelete && kind == 'N':
		r.New = d.tuple(r.New)
	default:
		d.fail("a tuple of kind %q", kind)
	}
	return d.end()
}

// A decoder takes fields off a message and keeps the first error.
type decoder struct {
	typ byte
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w %q: %s", ErrMalformed, d.typ, fmt.Sprintf(format, args...))
		d.b = nil
	}
}

func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}

// zeros stands in for what a message cut short does not have.
var zeros [8]byte

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail("%d bytes wanted, %d left", n, len(d.b))
		if n < 0 || n > len(zeros) {
			return nil
		}
		return zeros[:n]
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte     { return d.take(1)[0] }
func (d *decoder) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) int64() int64   { return int64(binary.BigEndian.Uint64(d.take(8))) }
func (d *decoder) lsn() LSN       { return LSN(d.int64()) }

func (d *decoder) xid(streamed bool) uint32 {
	if !streamed {
		return 0
	}
	return d.uint32()
}

func (d *decoder) text() string {
	i := bytes.IndexByte(d.b, 0)
	if i < 0 {
		d.fail("text without end")
		return ""
	}
	return string(d.take(i + 1)[:i])
}

// count reads a number of elements that take at least size bytes each, so that
// a false number cannot make us allocate more than the message is long.
func (d *decoder) count(n, size int) int {
	if n < 0 || n > len(d.b)/size {
		d.fail("%d elements announced, %d bytes left", n, len(d.b))
		return 0
	}
	return n
}

func (d *decoder) commit() Commit {
	if flags := d.byte(); flags != 0 {
		d.fail("commit flags %d", flags)
	}
	return Commit{CommitLSN: d.lsn(), EndLSN: d.lsn(), CommitTime: Time(d.int64())}
}

func (d *decoder) relation(streamed bool) *Relation {
	r := &Relation{XID: d.xid(streamed), ID: d.uint32(), Namespace: d.text(), Name: d.text(), Identity: ReplicaIdentity(d.byte())}
	if r.Namespace == "" {
		r.Namespace = "pg_catalog" // what an empty one stands for
	}
	n := d.count(int(int16(d.uint16())), 10)
	r.Columns = make([]Column, 0, n)
	for range n {
		flags := d.byte()
		r.Columns = append(r.Columns, Column{Key: flags&1 != 0, Name: d.text(), TypeOID: d.uint32(), TypeMod: int32(d.uint32())})
	}
	return r
}

func (d *decoder) tuple(t Tuple) Tuple {
	n := d.count(int(int16(d.uint16())), 1)
	for range n {
		kind := DatumKind(d.byte())
		switch kind {
		case Null, Unchanged:
			t = append(t, Datum{Kind: kind})
		case Text, Binary:
			t = append(t, Datum{Kind: kind, Data: d.take(int(int32(d.uint32())))})
		default:
			d.fail("a datum of kind %q", byte(kind))
			return t
		}
	}
	return t
}

func (d *decoder) truncate(streamed bool) *Truncate {
	t := &Truncate{XID: d.xid(streamed)}
	count := int32(d.uint32())
	options := d.byte()
	t.Cascade, t.RestartIdentity = options&1 != 0, options&2 != 0
	n := d.count(int(count), 4)
	t.Relations = make([]uint32, n)
	for i := range t.Relations {
		t.Relations[i] = d.uint32()
	}
	return t
}

func (d *decoder) message(streamed bool) *Message {
	m := &Message{XID: d.xid(streamed), Transactional: d.byte()&1 != 0, LSN: d.lsn(), Prefix: d.text()}
	m.Content = d.take(int(int32(d.uint32())))
	return m
}
