package pgoutput

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what the messages decode to into testdata")

// recorded returns the messages of a file in testdata, as a PostgreSQL server
// sent them (package pgrepl's tests record them with -capture).
func recorded(t testing.TB, path string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for line := range strings.Lines(string(data)) {
		m, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// show renders a message on one line.
func show(m any) string {
	switch m := m.(type) {
	case *Row:
		tuple := func(t Tuple) string {
			var b strings.Builder
			for _, d := range t {
				fmt.Fprintf(&b, " %c", d.Kind)
				if len(d.Data) > 40 {
					fmt.Fprintf(&b, "%q(%d bytes)", d.Data[:10], len(d.Data))
				} else if d.Kind == Text || d.Kind == Binary {
					fmt.Fprintf(&b, "%q", d.Data)
				}
			}
			return b.String()
		}
		s := fmt.Sprintf("Row %c xid=%d relation=%d", m.Type, m.XID, m.Relation)
		if m.OldKind != OldNone {
			s += fmt.Sprintf(" old(%c)%s", m.OldKind, tuple(m.Old))
		}
		if m.Type != TypeDelete {
			s += " new" + tuple(m.New)
		}
		return s
	case *Relation:
		s := fmt.Sprintf("Relation xid=%d %d %s.%s identity=%c", m.XID, m.ID, m.Namespace, m.Name, m.Identity)
		for _, c := range m.Columns {
			s += fmt.Sprintf(" [%s type=%d mod=%d key=%v]", c.Name, c.TypeOID, c.TypeMod, c.Key)
		}
		return s
	case *Begin:
		return fmt.Sprintf("Begin xid=%d final=%s at=%s", m.XID, m.FinalLSN, m.CommitTime.Format(time.RFC3339Nano))
	default:
		return strings.TrimPrefix(fmt.Sprintf("%T%+v", m, m), "*pgoutput.")
	}
}

// TestRecorded decodes what a server sent and compares with what it meant.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal("nothing recorded", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var b strings.Builder
			streamed := false
			for _, data := range recorded(t, path) {
				m, err := Decode(data, streamed)
				if err != nil {
					t.Fatalf("%x: %v", data, err)
				}
				switch m.(type) {
				case *StreamStart:
					streamed = true
				case *StreamStop:
					streamed = false
				}
				b.WriteString(show(m) + "\n")
				for n := range data { // cut short anywhere it is an error, not a panic
					if _, err := Decode(data[:n], streamed); err == nil {
						t.Errorf("%s: its first %d bytes decode too", show(m), n)
					}
				}
			}
			golden := strings.TrimSuffix(path, ".hex") + ".golden"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	for name, data := range map[string]string{
		"empty":                    "",
		"unknown":                  "Z",
		"trailing bytes":           "E0",
		"columns below zero":       "I\x00\x00\x00\x01N\xff\xff",
		"more columns than bytes":  "I\x00\x00\x00\x01N\x7f\xffn",
		"value longer than data":   "I\x00\x00\x00\x01N\x00\x01t\x7f\xff\xff\xffab",
		"value of negative length": "I\x00\x00\x00\x01N\x00\x01t\xff\xff\xff\xffab",
		"unknown datum":            "I\x00\x00\x00\x01N\x00\x01z",
		"insert with old row":      "I\x00\x00\x00\x01K\x00\x00N\x00\x00",
		"delete with new row":      "D\x00\x00\x00\x01N\x00\x00",
		"update without new row":   "U\x00\x00\x00\x01K\x00\x00",
		"truncate of many":         "T\x7f\xff\xff\xff\x00",
		"relation without end":     "R\x00\x00\x00\x01public",
		"commit with flags":        "C\x01" + strings.Repeat("\x00", 24),
	} {
		if m, err := Decode([]byte(data), false); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestLSN(t *testing.T) {
	for text, want := range map[string]LSN{"0/0": 0, "0/16B3748": 0x16B3748, "FFFFFFFF/FFFFFFFF": 1<<64 - 1, "1A/2": 0x1A<<32 | 2} {
		got, err := ParseLSN(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %d (%s), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "0", "0/", "/0", "x/0", "0/100000000", "-1/0"} {
		if got, err := ParseLSN(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	if got := Time(WireTime(at)); !got.Equal(at) {
		t.Errorf("%s became %s", at, got)
	}
}

// FuzzDecode: no input panics, and decoding a row anew into used memory gives
// the same row.
func FuzzDecode(f *testing.F) {
	for _, path := range []string{"testdata/changes.hex", "testdata/streamed.hex"} {
		for _, m := range recorded(f, path) {
			if len(m) < 400 {
				f.Add(m, false)
				f.Add(m, true)
			}
		}
	}
	var used Row
	f.Fuzz(func(t *testing.T, data []byte, streamed bool) {
		m, err := Decode(data, streamed)
		if (m == nil) != (err != nil) {
			t.Fatalf("%v, %v", m, err)
		}
		if r, ok := m.(*Row); ok {
			if err := used.Decode(bytes.Clone(data), streamed); err != nil || show(&used) != show(r) {
				t.Errorf("%s\n%s\n%v", show(r), show(&used), err)
			}
		}
	})
}
