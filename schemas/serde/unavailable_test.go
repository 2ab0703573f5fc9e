package serde_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/internal/fakeregistry"
	"github.com/quokka-stream/quokka/schemas/serde"
)

func TestUnavailable(t *testing.T) {
	status := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	tests := []struct {
		name     string
		fault    func(http.ResponseWriter, *http.Request) bool
		attempts int
		want     string
	}{
		{"503 with text", status(503, "down"), 3, "503"},
		{"500 as the registry says it", status(500, `{"error_code":50001,"message":"Error in the backend data store"}`), 3, "Error in the backend data store"},
		{"429", status(429, ""), 3, "429"},
		{"not a registry", status(200, "<html>"), 3, "not that of a schema registry"},
		{"null", status(200, "null"), 3, "not that of a schema registry"},
		{"broken connection", func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, 3, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg, s := start(t)
			reg.SetFault(tt.fault)
			_, err := s.Decode(t.Context(), []byte{0, 0, 0, 0, 1, 0})
			var ue *serde.UnavailableError
			if !errors.As(err, &ue) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %T %v, want %q", err, err, tt.want)
			}
			if n := reg.Total(); n != tt.attempts {
				t.Errorf("%d attempts, want %d", n, tt.attempts)
			}
			if err := s.Check(t.Context(), schemas.Orders, placed()); !errors.As(err, &ue) {
				t.Errorf("Check: %v", err)
			}
		})
	}
	t.Run("recovers", func(t *testing.T) {
		reg, s := start(t)
		registerAll(reg, schemas.Orders)
		n := 0
		reg.SetFault(func(w http.ResponseWriter, _ *http.Request) bool {
			n++
			if n < 3 {
				w.WriteHeader(503)
			}
			return n < 3
		})
		if _, err := s.Encode(t.Context(), schemas.TopicOrders, placed()); err != nil {
			t.Error(err)
		}
	})
	t.Run("no listener", func(t *testing.T) {
		s, err := serde.New("http://user:secret@127.0.0.1:1", serde.WithRetries(2, time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Check(t.Context(), schemas.Orders, placed())
		var ue *serde.UnavailableError
		if !errors.As(err, &ue) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the next address", func(t *testing.T) {
		reg := fakeregistry.New(t)
		registerAll(reg, schemas.Orders)
		s, err := serde.New("http://127.0.0.1:1, "+reg.URL+"/", serde.WithRetries(2, time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Check(t.Context(), schemas.Orders); err != nil {
			t.Error(err)
		}
	})
	t.Run("slow", func(t *testing.T) {
		reg, s := start(t, serde.WithTimeout(10*time.Millisecond))
		reg.SetFault(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		_, err := s.Decode(t.Context(), []byte{0, 0, 0, 0, 1, 0})
		var ue *serde.UnavailableError
		if !errors.As(err, &ue) || !strings.Contains(err.Error(), "no answer within 10ms") {
			t.Errorf("got %v", err)
		}
	})
}

// TestContext: a caller who gives up returns at once, and those who wait for
// the same schema still get it.
func TestContext(t *testing.T) {
	reg, s := start(t)
	own, _ := events.Schema(placed().AvroName())
	b := encode(t, reg, s, "subject", own, placed())
	asked, release := make(chan struct{}), make(chan struct{})
	reg.SetFault(func(http.ResponseWriter, *http.Request) bool { close(asked); <-release; return false })
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	go func() { _, err := s.Decode(ctx, b); first <- err }()
	<-asked
	go func() { _, err := s.Decode(t.Context(), b); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled caller: %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("waiting caller: %v", err)
	}
}

func TestBadAddress(t *testing.T) {
	for _, addr := range []string{"", " , ", "localhost:8081", "ftp://x", "http://"} {
		if _, err := serde.New(addr); err == nil || !strings.Contains(err.Error(), "http://host:port") {
			t.Errorf("%q: %v", addr, err)
		}
	}
}
