package letters

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/services/kit/consume"
)

// script builds a book from lines: "letter 5" gives up the original at offset 5,
// "letter 5 1" does so after one replay, "request 5 1" asks for its replay.
func script(t *testing.T, text string) *Book {
	t.Helper()
	b := &Book{}
	for offset, line := range strings.Split(text, ", ") {
		var kind, original, count string
		fields := append(strings.Fields(line), "", "")
		kind, original, count = fields[0], fields[1], fields[2]
		r := &kgo.Record{Topic: "t.g.dlq", Offset: int64(offset), Key: []byte("k"), Value: []byte(line)}
		header := func(key, value string) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
		}
		if original != "" {
			header(consume.HeaderDeadTopic, "t")
			header(consume.HeaderDeadPartition, "2")
			header(consume.HeaderDeadOffset, original)
			header(consume.HeaderDeadGroup, "g")
			header(consume.HeaderDeadMessage, "boom")
			header(consume.HeaderDeadCount, "3")
		}
		if count != "" {
			header(consume.HeaderReplayCount, count)
		}
		if kind == "request" {
			header(consume.HeaderReplayOf, "0")
		}
		b.Add(r)
	}
	return b
}

func TestBook(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		committed    int64
		want         string // letter's offset, original, state, replays
	}{
		{"given up", "letter 5, letter 6", 2, "0:5 open 0, 1:6 open 0"},
		{"given up twice, as a crash before the commit leaves it", "letter 5, letter 5", 2, "1:5 open 0"},
		{"asked for", "letter 5, request 5 1", 1, "0:5 waiting 1"},
		{"asked for, nothing committed", "letter 5, request 5 1", -1, "0:5 waiting 1"},
		{"handled", "letter 5, request 5 1", 2, "0:5 replayed 1"},
		{"failed again", "letter 5, request 5 1, letter 5 1", 2, "2:5 open 1"},
		{"failed again and asked again", "letter 5, request 5 1, letter 5 1, request 5 2", 4, "2:5 replayed 2"},
		{"asked twice, handled once so far", "letter 5, request 5 1, request 5 1", 2, "0:5 waiting 1"},
		{"others do not matter", "letter 5, letter 6, request 6 1, letter 7", 3, "0:5 open 0, 1:6 replayed 1, 3:7 open 0"},
		{"a request whose letter expired", "request 5 1, letter 6", 9, "1:6 open 0"},
		{"no headers", "letter, letter", 9, "0:? open 0, 1:? open 0"},
	} {
		var got []string
		for _, l := range script(t, tc.script).Letters(tc.committed) {
			original := "?"
			if l.Known {
				original = fmt.Sprint(l.Original.Offset)
			}
			got = append(got, fmt.Sprintf("%d:%s %s %d", l.Record.Offset, original, l.State, l.Replays))
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: %s; want %s", tc.name, strings.Join(got, ", "), tc.want)
		}
	}
}

// TestRequest: a request enters the book as one of its letter, counted on.
func TestRequest(t *testing.T) {
	b := script(t, "letter 5, request 5 1, letter 5 1")
	l := b.Letters(9)[0]
	if l.Original != (Original{"t", 2, 5}) || l.Group != "g" || l.Reason != "boom" || l.Attempts != 3 || l.Replays != 1 {
		t.Errorf("%+v", l)
	}
	r := Request(l)
	if r.Topic != "t.g.dlq" || string(r.Key) != "k" || string(r.Value) != "letter 5 1" || consume.Header(r, consume.HeaderReplayOf) != "2" || consume.Header(r, consume.HeaderReplayCount) != "2" {
		t.Errorf("%+v", r)
	}
	r.Offset = 3
	b.Add(r)
	if l := b.Letters(3)[0]; l.State != Waiting || l.Replays != 2 {
		t.Errorf("after the request: %+v", l)
	}
}
