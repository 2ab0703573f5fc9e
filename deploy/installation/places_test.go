package installation

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip is a server without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPatience: an OpenSearch that has just started, or has much else to do, may take a
// minute for the mark; a place that only has to answer may not.
func TestPatience(t *testing.T) {
	before := transport
	defer func() { transport = before }()
	transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(time.Minute):
		}
		answer := httptest.NewRecorder()
		answer.WriteHeader(http.StatusCreated)
		return answer.Result(), nil
	})
	synctest.Test(t, func(t *testing.T) {
		s := search{url: "http://127.0.0.1:9200"}
		if _, err := s.call(t.Context(), http.MethodPut, "/"+markIndex+"/_doc/mark", Mark{"A", "K"}, nil); err != nil {
			t.Errorf("a write that takes a minute: %v", err)
		}
		begin := time.Now()
		if _, err := s.read(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != readPatience {
			t.Errorf("a read that takes a minute: %v after %s", err, time.Since(begin))
		}
	})
}
