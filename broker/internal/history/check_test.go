package history

import (
	"fmt"
	"testing"
)

// good is a history without an anomaly, of everything that a History can say: two
// logs, a transaction each that was committed, aborted and not heard of, two reads.
func good() *History {
	h := &History{Whole: map[Log]bool{"a": true}}
	send := func(at int64, log Log, key, value string, seq, offset int64, txn string) {
		h.Sends = append(h.Sends, Send{Span: Span{at, at + 1}, Log: log, Key: key, Value: value, Producer: "p", Seq: seq,
			Outcome: OK, Offset: offset, Acks: -1, Once: true, Txn: txn})
	}
	send(1, "a", "k", "v1", 1, 0, "")
	send(3, "a", "k", "v2", 2, 1, "")
	send(5, "a", "j", "c1", 3, 2, "committed")
	send(7, "b", "j", "c2", 4, 0, "committed")
	send(9, "a", "j", "x1", 5, 4, "aborted")
	send(11, "b", "j", "u1", 6, 2, "unheard")
	h.Sends[5].Outcome, h.Sends[5].Offset = Unknown, -1
	h.Sends = append(h.Sends, Send{Span: Span{13, 14}, Log: "a", Key: "k", Value: "no", Producer: "p", Seq: 7, Outcome: Refused, Offset: -1})
	h.Txns = []Txn{{Span: Span{4, 20}, Name: "committed", Outcome: OK}, {Span: Span{8, 21}, Name: "aborted", Outcome: Refused}, {Span: Span{10, 22}, Name: "unheard"}}
	marker := func(offset int64) Record { return Record{Offset: offset, Control: true} }
	rec := func(offset int64, key, value string) Record { return Record{Offset: offset, Key: key, Value: value} }
	a := []Record{rec(0, "k", "v1"), rec(1, "k", "v2"), rec(2, "j", "c1"), marker(3), rec(4, "j", "x1"), marker(5)}
	h.Reads = []Read{
		{Span: Span{30, 31}, Log: "a", To: 3, HighWatermark: 6, Records: a[:3]},
		{Span: Span{40, 41}, Log: "a", To: 6, HighWatermark: 6, Complete: true, Records: a},
		{Span: Span{42, 43}, Log: "a", To: 6, HighWatermark: 6, Complete: true, Committed: true, Records: []Record{a[0], a[1], a[2], a[3], a[5]}},
		{Span: Span{44, 45}, Log: "b", To: 2, HighWatermark: -1, Complete: true, Committed: true, Records: []Record{rec(0, "j", "c2"), marker(1)}},
	}
	h.Commits = []Commit{
		{Span: Span{50, 51}, Group: "g", Log: "a", Offset: 2, Outcome: OK},
		{Span: Span{52, 53}, Group: "g", Log: "a", Offset: 4},
		{Span: Span{5, 6}, Group: "t", Log: "a", Offset: 3, Outcome: OK, Txn: "committed"},
		{Span: Span{9, 10}, Group: "t", Log: "a", Offset: 5, Outcome: OK, Txn: "aborted"},
	}
	h.Fetches = []Fetched{
		{Span: Span{49, 50}, Group: "g", Log: "a", Offset: -1},
		{Span: Span{54, 55}, Group: "g", Log: "a", Offset: 2},
		{Span: Span{56, 57}, Group: "g", Log: "a", Offset: 4},
		{Span: Span{58, 59}, Group: "t", Log: "a", Offset: 3},
	}
	return h
}

// TestAnomalies plants one anomaly at a time in a good history, and wants it found,
// and nothing else.
func TestAnomalies(t *testing.T) {
	for _, tt := range []struct {
		name  string
		plant func(h *History)
		want  []Kind
	}{
		{"nothing", func(*History) {}, nil},
		{"an acknowledged record is missing at the end", func(h *History) {
			h.Sends = append(h.Sends, Send{Span: Span{15, 16}, Log: "a", Value: "v9", Producer: "q", Outcome: OK, Offset: 6, Acks: -1})
		}, []Kind{Lost}},
		{"a record acknowledged by acks=1 is not below the high watermark yet", func(h *History) {
			h.Sends = append(h.Sends, Send{Span: Span{15, 16}, Log: "a", Value: "v9", Producer: "q", Outcome: OK, Offset: 6, Acks: 1})
		}, nil},
		{"a record acknowledged by acks=1 is missing", func(h *History) {
			h.Sends = append(h.Sends, Send{Span: Span{15, 16}, Log: "a", Value: "v9", Producer: "q", Outcome: OK, Offset: 6, Acks: 1})
			h.Reads[1].Settled = true
		}, []Kind{Lost}},
		{"an acknowledged record is missing before the beginning", func(h *History) {
			r := &h.Reads[1]
			r.Start, r.From, r.Records = 1, 1, r.Records[1:]
		}, []Kind{Lost}},
		{"records that were acknowledged and read are cut off", func(h *History) {
			h.Reads[1].To, h.Reads[1].Records = 2, h.Reads[1].Records[:2]
		}, []Kind{Vanished, Lost, Lost}},
		{"an offset has another value than was acknowledged", func(h *History) { h.Sends[0].Offset, h.Sends[1].Offset = 1, 0 }, []Kind{TwoValues, TwoValues}},
		{"an offset changes its value", func(h *History) {
			h.Sends[0].Outcome = Unknown
			h.Sends = append(h.Sends, Send{Log: "a", Value: "other", Offset: -1})
			h.Reads[0].Records = append([]Record{{Offset: 0, Key: "k", Value: "other"}}, h.Reads[0].Records[1:]...)
		}, []Kind{TwoValues}},
		{"a record is stored twice", func(h *History) {
			h.Reads[1].Records = append(h.Reads[1].Records[:6:6], Record{Offset: 6, Key: "k", Value: "v2"})
			h.Reads[1].To, h.Reads[1].HighWatermark = 7, 7
		}, []Kind{Duplicate}},
		{"a record that was not sent once is stored twice", func(h *History) {
			h.Sends[1].Once = false
			h.Reads[1].Records = append(h.Reads[1].Records[:6:6], Record{Offset: 6, Key: "k", Value: "v2"})
			h.Reads[1].To, h.Reads[1].HighWatermark = 7, 7
		}, nil},
		{"a record from nowhere", func(h *History) { h.Sends = h.Sends[1:] }, []Kind{Phantom}},
		{"a refused record is there", func(h *History) { h.Sends[1].Outcome = Refused }, []Kind{RefusedRead}},
		{"an aborted record is shown", func(h *History) {
			h.Reads[2].Records = append([]Record(nil), h.Reads[1].Records...)
		}, []Kind{AbortedRead}},
		{"a committed record is not shown", func(h *History) {
			h.Reads[3].Records = h.Reads[3].Records[1:]
		}, []Kind{TornTxn}},
		{"a transaction of unknown outcome is shown in part", func(h *History) {
			h.Txns[0].Outcome = Unknown
			h.Commits = nil
			h.Fetches = nil
			h.Reads[3].Records = h.Reads[3].Records[1:]
		}, []Kind{TornTxn}},
		{"a transaction of unknown outcome is not shown", func(h *History) {
			h.Txns[0].Outcome = Unknown
			h.Fetches = nil
			h.Reads[3].Records = h.Reads[3].Records[1:]
			h.Reads[2].Records = []Record{h.Reads[2].Records[0], h.Reads[2].Records[1], h.Reads[2].Records[3]}
		}, nil},
		{"records of a key change places", func(h *History) { h.Sends[0].Seq, h.Sends[1].Seq = 2, 1 }, []Kind{Disorder}},
		{"a read beyond the high watermark", func(h *History) { h.Reads[0].HighWatermark = 2 }, []Kind{AboveHighWatermark}},
		{"an offset is missing", func(h *History) {
			h.Reads[0].Records = []Record{h.Reads[0].Records[0], h.Reads[0].Records[2]}
		}, []Kind{Gap}},
		{"nothing at the end of a read", func(h *History) { h.Reads[0].Records = h.Reads[0].Records[:2] }, []Kind{Gap}},
		{"an acknowledged commit is lost", func(h *History) { h.Fetches[1].Offset = -1 }, []Kind{WentBack}},
		{"a commit that was told is lost", func(h *History) {
			h.Fetches = append(h.Fetches, Fetched{Span: Span{60, 61}, Group: "g", Log: "a", Offset: 2})
		}, []Kind{WentBack}},
		{"a commit from nowhere", func(h *History) { h.Fetches[1].Offset = 3 }, []Kind{UnknownOffset}},
		{"a commit of an aborted transaction", func(h *History) { h.Fetches[3].Offset = 5 }, []Kind{UnknownOffset}},
		{"a commit of a committed transaction is lost", func(h *History) { h.Fetches[3].Offset = -1 }, []Kind{WentBack}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := good()
			tt.plant(h)
			got := Check(h)
			var kinds []Kind
			for _, a := range got {
				kinds = append(kinds, a.Kind)
			}
			if fmt.Sprint(kinds) != fmt.Sprint(tt.want) {
				t.Fatalf("found %v, want %v\n%s", kinds, tt.want, Format(got))
			}
		})
	}
}

// TestCompacted: in a compacted log a record may be replaced by a later one of its key.
func TestCompacted(t *testing.T) {
	h := good()
	h.Reads = []Read{{Span: Span{60, 61}, Log: "a", To: 6, Complete: true, HighWatermark: 6, Compacted: true,
		Records: []Record{{Offset: 1, Key: "k", Value: "v2"}, {Offset: 4, Key: "j", Value: "x1"}, {Offset: 5, Control: true}}}}
	if got := Check(h); len(got) > 0 {
		t.Fatal(Format(got))
	}
	h.Reads[0].Records = h.Reads[0].Records[1:]
	if got := Check(h); len(got) != 2 || got[0].Kind != Lost || got[1].Kind != Lost {
		t.Fatal(Format(got))
	}
}

// TestCut: what a power cut excuses is excused, and nothing else.
func TestCut(t *testing.T) {
	shorter := func(h *History, began int64) {
		// After the cut log a is found with two records, then gets another one.
		h.Sends = append(h.Sends, Send{Span: Span{began, began + 1}, Log: "a", Key: "k", Value: "new", Producer: "q", Outcome: OK, Offset: 2, Acks: -1})
		h.Reads = append(h.Reads, Read{Span: Span{began + 2, began + 3}, Log: "a", To: 3, HighWatermark: 3, Complete: true,
			Records: []Record{{Offset: 0, Key: "k", Value: "v1"}, {Offset: 1, Key: "k", Value: "v2"}, {Offset: 2, Key: "k", Value: "new"}}})
	}
	h := good()
	shorter(h, 110)
	if len(Check(h)) == 0 {
		t.Fatal("without a cut this is no good history")
	}
	h.Cut(100, nil)
	if len(Check(h)) == 0 {
		t.Fatal("the group policy promised all of it")
	}
	h = good()
	h.Cut(100, map[Log]int64{"a": 2})
	shorter(h, 110)
	if got := Check(h); len(got) > 0 {
		t.Fatal(Format(got))
	}
	h.Reads[len(h.Reads)-1].Records[1].Value = "new"
	if len(Check(h)) == 0 {
		t.Fatal("what was found is no prefix")
	}
	// Under group, acks=1 promises nothing.
	h = good()
	h.Reads, h.Fetches = nil, nil
	h.Txns = nil
	for i := range h.Sends {
		h.Sends[i].Txn = ""
	}
	h.Sends[2].Acks, h.Sends[4].Acks = 1, 1
	h.Cut(100, nil)
	shorter(h, 110)
	if got := Check(h); len(got) > 0 {
		t.Fatal(Format(got))
	}
}
