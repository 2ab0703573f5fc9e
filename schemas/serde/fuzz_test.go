package serde_test

import (
	"errors"
	"testing"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/internal/fakeregistry"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// FuzzDecode: whatever a record holds, it is an event or one of the errors a
// consumer knows.
func FuzzDecode(f *testing.F) {
	reg := fakeregistry.New(f)
	s, err := serde.New(reg.URL)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	for _, topic := range schemas.Topics() {
		registerAll(reg, topic)
	}
	value, err := s.Encode(f.Context(), schemas.TopicOrders, placed())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte{0, 0, 0, 0, 5, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := s.Decode(t.Context(), b)
		if err == nil {
			if _, err := events.Encode(e); err != nil {
				t.Errorf("% x decodes to what does not encode: %v", b, err)
			}
			return
		}
		var (
			decode *serde.DecodeError
			id     *serde.UnknownIDError
			name   *serde.UnknownTypeError
		)
		if !errors.As(err, &decode) && !errors.As(err, &id) && !errors.As(err, &name) {
			t.Errorf("% x: %T %v", b, err, err)
		}
	})
}
