package event

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"context"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

func TestMetaOf(t *testing.T) {
	id := uuid.Must(uuid.NewV7())
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	header := func(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: k, Value: []byte(v)} }
	full := &kgo.Record{Headers: []kgo.RecordHeader{
		header("ce_id", id.String()), header("ce_type", "quokka.order.v1.OrderPlaced"), header("ce_source", "/quokka/order"),
		header("ce_subject", "o1"), header("ce_time", at.Format(time.RFC3339Nano)),
	}}
	want := Meta{ID: id, Type: "quokka.order.v1.OrderPlaced", Source: "/quokka/order", Subject: "o1", Time: at}
	if got := MetaOf(full); got != want {
		t.Errorf("MetaOf = %+v, want %+v", got, want)
	}
	broken := &kgo.Record{Headers: []kgo.RecordHeader{header("ce_id", "seven"), header("ce_time", "yesterday")}}
	if got := MetaOf(broken); got != (Meta{}) {
		t.Errorf("MetaOf of a malformed envelope = %+v, want zero", got)
	}
}

type decoder struct{ err error }

func (d decoder) Decode(context.Context, []byte) (events.Event, error) { return nil, d.err }

// The registry's errors decide what becomes of a record.
func TestDecodeSortsErrors(t *testing.T) {
	malformed := &serde.DecodeError{Err: errors.New("too short")}
	away := fmt.Errorf("fetch schema: %w", errors.New("registry away"))
	for _, tc := range []struct {
		name    string
		err     error
		unknown bool
		reject  bool
	}{
		{"unknown type", &serde.UnknownTypeError{Name: "quokka.order.v9.OrderBurned"}, true, false},
		{"malformed", malformed, false, true},
		{"registry away", away, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Decode(decoder{tc.err})(t.Context(), &kgo.Record{})
			if got := errors.Is(err, consume.ErrUnknownType); got != tc.unknown {
				t.Errorf("acknowledged as unknown: %v, want %v", got, tc.unknown)
			}
			if got := consume.Rejected(err); got != tc.reject {
				t.Errorf("rejected: %v, want %v", got, tc.reject)
			}
			if !errors.Is(err, tc.err) {
				t.Errorf("%v does not wrap %v", err, tc.err)
			}
		})
	}
}
