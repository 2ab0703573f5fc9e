package txbuf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// script builds messages from lines such as "insert 7 a": what a server sends,
// reduced to what the assembler looks at. A number names a (sub)transaction.
func script(t *testing.T, line string) []byte {
	t.Helper()
	f := strings.Fields(line)
	num := func(i int) []byte {
		var n uint32
		if _, err := fmt.Sscan(f[i], &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return binary.BigEndian.AppendUint32(nil, n)
	}
	commit := func(end []byte) []byte {
		b := []byte{0}
		b = append(b, make([]byte, 8)...)
		b = append(b, 0, 0, 0, 0)
		b = append(b, end...)
		return append(b, make([]byte, 8)...)
	}
	join := func(typ pgoutput.MessageType, parts ...[]byte) []byte {
		return append([]byte{byte(typ)}, bytes.Join(parts, nil)...)
	}
	switch f[0] {
	case "begin":
		return join(pgoutput.TypeBegin, make([]byte, 16), num(1))
	case "commit":
		return join(pgoutput.TypeCommit, commit(num(1)))
	case "row": // row <name>: a message outside a stream
		return join(pgoutput.TypeInsert, []byte(f[1]))
	case "srow": // srow <sub> <name>
		return join(pgoutput.TypeInsert, num(1), []byte(f[2]))
	case "srelation":
		return join(pgoutput.TypeRelation, num(1), []byte(f[2]))
	case "start":
		return join(pgoutput.TypeStreamStart, num(1), []byte{map[bool]byte{true: 1}[f[2] == "first"]})
	case "stop":
		return join(pgoutput.TypeStreamStop)
	case "scommit": // scommit <xid> <end>
		return join(pgoutput.TypeStreamCommit, num(1), commit(num(2)))
	case "abort":
		return join(pgoutput.TypeStreamAbort, num(1), num(2))
	case "message", "smessage": // [s]message [<sub>] <transactional> <prefix> <content>
		var sub []byte
		if f[0] == "smessage" {
			sub, f = num(1), f[1:]
		}
		flag := map[bool]byte{true: 1}[f[1] == "tx"]
		content := binary.BigEndian.AppendUint32(nil, uint32(len(f[3])))
		return join(pgoutput.TypeMessage, sub, []byte{flag}, make([]byte, 8), []byte(f[2]+"\x00"), content, []byte(f[3]))
	}
	t.Fatalf("unknown line %q", line)
	return nil
}

// names reads a transaction and returns the tail of each message.
func names(t *testing.T, tx *Tx) string {
	t.Helper()
	out := []string{fmt.Sprintf("%d@%d:", tx.XID, tx.EndLSN)}
	for {
		_, data, err := tx.Next()
		if errors.Is(err, io.EOF) {
			tx.Release()
			return strings.Join(out, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		from := 1
		if tx.Streamed {
			from = 5
		}
		name := string(data[from:])
		if i := strings.LastIndexByte(name, 0); i >= 0 {
			name = name[i+2:] // a logical message: what follows its length
		}
		out = append(out, name)
	}
}

func TestAssembler(t *testing.T) {
	tests := []struct {
		name  string
		lines string
		want  string // transactions in order, or the error
	}{
		{"one", "begin 7;row a;row b;commit 90", "7@90: a b"},
		{"empty", "begin 7;commit 90", "7@90:"},
		{"blocks of two transactions", "start 7 first;srow 7 a;stop;start 8 first;srow 8 x;stop;start 7 next;srow 7 b;stop;scommit 8 80;scommit 7 90", "8@80: x | 7@90: a b"},
		{"a small one between blocks", "start 7 first;srow 7 a;stop;begin 9;row s;commit 70;start 7 next;srow 7 b;stop;scommit 7 90", "9@70: s | 7@90: a b"},
		{"subtransaction aborted in a later block", "start 7 first;srow 7 a;srow 8 x;stop;abort 7 8;start 7 next;srow 7 b;stop;scommit 7 90", "7@90: a b"},
		{"nested subtransactions", "start 7 first;srow 7 a;srow 8 b;srow 9 c;srow 8 d;srow 10 e;stop;abort 7 9;start 7 next;srow 7 f;stop;scommit 7 90", "7@90: a b d e f"},
		{"a relation outlives its subtransaction", "start 7 first;srelation 8 R;srow 8 x;stop;abort 7 8;start 7 next;srow 7 b;stop;scommit 7 90", "7@90: R b"},
		{"a trace goes with its subtransaction", "start 7 first;smessage 7 tx p outer;srow 7 a;smessage 8 tx p inner;srow 8 x;stop;abort 7 8;start 7 next;srow 7 b;stop;scommit 7 90", "7@90: outer a b"},
		{"whole abort", "start 7 first;srow 7 a;stop;abort 7 7;begin 8;row b;commit 90", "8@90: b"},
		{"stray aborts", "abort 5 5;abort 5 6;begin 8;row b;commit 90", "8@90: b"},
		{"abort, then the same transaction again", "start 7 first;srow 7 a;stop;abort 7 7;start 7 first;srow 7 b;stop;scommit 7 90", "7@90: b"},
		{"messages of others", "begin 7;message tx other x;message tx p mine;row a;commit 90", "7@90: mine a"},
		{"heartbeats", "message not p beat;begin 7;message not p beat;row a;commit 90", "7@90: a"},
		{"row outside", "row a", "message 'I' outside a transaction"},
		{"begin in begin", "begin 7;begin 8", "Begin inside"},
		{"commit without begin", "commit 90", "Commit without"},
		{"continues without a beginning", "start 7 next", "continues without a beginning"},
		{"begins twice", "start 7 first;stop;start 7 first", "begins twice"},
		{"commit of the unknown", "scommit 7 90", "not open"},
		{"stop without start", "stop", "Stream Stop without"},
		{"commit at zero", "begin 7;commit 0", "commits nowhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{MemoryLimit: 1 << 20, Prefix: "p"})
			defer a.Close()
			var got []string
			for _, line := range strings.Split(tt.lines, ";") {
				tx, err := a.Add(1, script(t, line))
				if err != nil {
					if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), tt.want) {
						t.Fatalf("%s: %v, want %s", line, err, tt.want)
					}
					return
				}
				if tx != nil {
					got = append(got, names(t, tx))
				}
			}
			if s := strings.Join(got, " | "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
			if a.Open() != 0 || a.InMemory() != 0 || !a.Idle() {
				t.Errorf("%d transactions and %d bytes are left", a.Open(), a.InMemory())
			}
		})
	}
}

// TestSpill: transactions beyond the memory limit go to disk and come back
// whole and in order, with positions; nothing is left behind.
func TestSpill(t *testing.T) {
	dir := t.TempDir()
	var spilled int64
	a := New(Config{MemoryLimit: 3 * largeChunk, Dir: dir, Prefix: "p", OnSpill: func(n int64) { spilled += n }})
	const rows, size = 400, 5000
	row := func(xid, i int) []byte {
		b := []byte{byte(pgoutput.TypeInsert)}
		b = binary.BigEndian.AppendUint32(b, uint32(xid+i%2)) // every other in subtransaction xid+1
		b = binary.BigEndian.AppendUint32(b, uint32(i))
		b = append(b, bytes.Repeat([]byte{byte(i)}, size)...)
		if i == rows/2 {
			b = append(b, make([]byte, 3*largeChunk)...)
		}
		return b
	}
	add := func(pos int, data []byte) *Tx {
		tx, err := a.Add(pgoutput.LSN(pos), data)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	for i := range rows {
		first := "next"
		if i == 0 {
			first = "first"
		}
		for _, xid := range []int{100, 200} {
			add(0, script(t, fmt.Sprintf("start %d %s", xid, first)))
			add(i, row(xid, i))
			add(0, script(t, "stop"))
			if used := a.InMemory(); used > 8*largeChunk {
				t.Fatalf("%d bytes in memory", used)
			}
		}
	}
	add(0, script(t, "abort 200 201"))
	for _, xid := range []int{200, 100} {
		tx := add(0, script(t, fmt.Sprintf("scommit %d 90", xid)))
		for i := range rows {
			if xid == 200 && i%2 == 1 {
				continue
			}
			pos, data, err := tx.Next()
			if err != nil {
				t.Fatal(err)
			}
			if pos != pgoutput.LSN(i) || !bytes.Equal(data, row(xid, i)) {
				t.Fatalf("transaction %d, row %d came back as another", xid, i)
			}
		}
		if _, _, err := tx.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last row: %v", err)
		}
		tx.Release()
	}
	if spilled == 0 || a.InMemory() != 0 {
		t.Errorf("%d bytes spilled, %d left in memory", spilled, a.InMemory())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v %v", left, err)
	}
}
