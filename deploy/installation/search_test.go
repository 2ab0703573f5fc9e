package installation

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas"
)

// TestSearchPlace: a new index has the group read its topics again; a known one
// does not; what is forgotten is new again.
func TestSearchPlace(t *testing.T) {
	ctx := t.Context()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokertest.Start(t).Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, schemas.TopicOrders); err != nil {
		t.Fatal(err)
	}
	commit := func() {
		t.Helper()
		offsets := kadm.Offsets{}
		offsets.AddOffset(schemas.TopicOrders, 0, 7, -1)
		if _, err := admin.CommitOffsets(ctx, schemas.GroupSearchSync, offsets); err != nil {
			t.Fatal(err)
		}
	}
	committed := func() int {
		t.Helper()
		fetched, err := admin.FetchOffsets(ctx, schemas.GroupSearchSync)
		if err != nil {
			t.Fatal(err)
		}
		return len(fetched)
	}

	var mu sync.Mutex
	var mark string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		user, password, _ := r.BasicAuth()
		switch {
		case user != "quokka" || password != "sesame":
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodPut && r.URL.Path == "/quokka-installation/_doc/mark":
			body, _ := io.ReadAll(r.Body)
			mark = string(body)
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodPut && mark != "":
			w.WriteHeader(http.StatusBadRequest) // it exists
		case r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "quokka-orders,") && r.URL.Query().Get("ignore_unavailable") == "true":
			mark = ""
		case r.Method == http.MethodGet && mark == "":
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodGet:
			_ = json.NewEncoder(w).Encode(map[string]json.RawMessage{"_source": json.RawMessage(mark)})
		}
	}))
	defer server.Close()
	s := search{strings.Replace(server.URL, "http://", "http://quokka:sesame@", 1), admin}
	if name := s.name(); strings.Contains(name, "sesame") || !strings.Contains(name, server.URL) {
		t.Errorf("it is called %q", name)
	}

	want := Mark{"A", "K"}
	for range 2 {
		if m, err := s.read(ctx); err != nil || m != nil {
			t.Fatalf("a new one: %v, %v", m, err)
		}
		commit()
		if err := s.write(ctx, want); err != nil {
			t.Fatal(err)
		}
		if n := committed(); n != 0 {
			t.Errorf("the group kept its progress in %d topics", n)
		}
		if m, err := s.read(ctx); err != nil || m == nil || *m != want {
			t.Errorf("a known one: %v, %v", m, err)
		}
		if err := s.forget(ctx); err != nil {
			t.Fatal(err)
		}
	}

	server.Close()
	if _, err := s.read(ctx); err == nil || !strings.Contains(err.Error(), "--search") || strings.Contains(err.Error(), "sesame") {
		t.Errorf("nobody there: %v", err)
	}
	told := 0
	err = AwaitSearch(ctx, s.url, 600*time.Millisecond, func(error) { told++ })
	if err == nil || told != 1 || strings.Contains(err.Error(), "sesame") {
		t.Errorf("waited in vain: %v, told %d times", err, told)
	}
}
