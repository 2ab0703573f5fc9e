package consume

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestTake: of two transactions of one producer, the first aborted, and a batch of
// another one, a committed reader gets what it should.
func TestTake(t *testing.T) {
	var log []byte
	next := int64(0)
	add := func(b []byte) {
		record.Stamp(b, next, 0)
		info, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		next = info.NextOffset()
		log = append(log, b...)
	}
	data := func(pid int64, values ...string) {
		b := record.NewBuilder(record.Options{Idempotent: pid > 0, Transactional: pid > 0, ProducerID: pid})
		for _, v := range values {
			b.Add(record.Record{Key: []byte("k"), Value: []byte(v + " padding")})
		}
		add(b.Batch())
	}
	data(1, "a", "b")
	data(0, "c")
	add(record.EndTxn(1, 0, record.Marker{}, 0))
	data(1, "d")
	add(record.EndTxn(1, 0, record.Marker{Commit: true}, 0))
	for _, tt := range []struct {
		committed bool
		from      int64
		want      string
	}{
		{false, 0, "[0:a 1:b 2:c 3: 4:d 5:]"},
		{true, 0, "[2:c 3: 4:d 5:]"},
		{false, 1, "[1:b 2:c 3: 4:d 5:]"},
	} {
		r := history.Read{From: tt.from, Committed: tt.committed}
		if err := Take(&r, log, []Aborted{{1, 0}}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rec := range r.Records {
			got = append(got, fmt.Sprintf("%d:%s", rec.Offset, rec.Value))
		}
		if fmt.Sprint(got) != tt.want || r.To != 6 {
			t.Errorf("%+v: %v up to %d", tt, got, r.To)
		}
	}
	damaged := slices.Clone(log)
	damaged[70] ^= 1
	if err := Take(&history.Read{}, damaged, nil); err == nil {
		t.Error("a damaged batch was read")
	}
}
