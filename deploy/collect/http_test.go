package collect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/quokka-stream/quokka/deploy/checker"
)

// mailpit answers as a mail sink, and gets more mails while it is asked. A reader
// may have a whole page before its handler has returned, so each holds the lock.
type mailpit struct {
	mu       sync.Mutex
	mails    []string // Message-IDs by arrival
	arriving []string // one arrives after each page
	asked    int
}

func (m *mailpit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	if id, ok := strings.CutPrefix(r.URL.Path, "/api/v1/message/"); ok {
		fmt.Fprintf(w, `{"X-Quokka-Order":["order of %s"]}`, strings.TrimSuffix(id, "/headers"))
		return
	}
	start, _ := strconv.Atoi(r.URL.Query().Get("start"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	page := []map[string]string{}
	for i := len(m.mails) - 1 - start; i >= 0 && len(page) < limit; i-- {
		page = append(page, map[string]string{"ID": fmt.Sprint(i), "MessageID": m.mails[i]})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"total": len(m.mails), "messages": page})
	if len(m.arriving) > 0 {
		m.mails, m.arriving = append(m.mails, m.arriving[0]), m.arriving[1:]
	}
}

// deliver adds mails; those asked for so far are no longer counted.
func (m *mailpit) deliver(ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails, m.asked = append(m.mails, ids...), 0
}

// TestReadMails: no mail is missed or counted twice, however the pages shift.
func TestReadMails(t *testing.T) {
	sink := &mailpit{}
	known := checker.Facts{}
	for i := range 3*pageSize + 7 {
		sink.mails = append(sink.mails, fmt.Sprintf("e%d@quokka.local", i))
	}
	for i := range 2 {
		sink.arriving = append(sink.arriving, fmt.Sprintf("late%d@quokka.local", i))
	}
	for i := range len(sink.mails) {
		known.Events = append(known.Events, checker.Event{ID: fmt.Sprint("e", i)})
	}
	known.Events = append(known.Events, checker.Event{ID: "late0"}, checker.Event{ID: "late1"})
	server := httptest.NewServer(sink)
	defer server.Close()
	c := &Collector{src: Sources{MailURL: server.URL}, http: server.Client()}
	first := known
	if err := c.readMails(t.Context(), &first); err != nil {
		t.Fatal(err)
	}
	// A stranger arrives, and a mail is delivered again.
	sink.deliver("stranger@quokka.local", "e0@quokka.local")
	second := known
	if err := c.readMails(t.Context(), &second); err != nil {
		t.Fatal(err)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	count := map[string]int{}
	for _, m := range second.Mails {
		count[m.MessageID]++
	}
	if len(second.Mails) != len(sink.mails) || count["e0@quokka.local"] != 2 || count["late0@quokka.local"] != 1 || count["late1@quokka.local"] != 1 {
		t.Errorf("%d mails read of %d; some: %d %d %d", len(second.Mails), len(sink.mails), count["e0@quokka.local"], count["late0@quokka.local"], count["late1@quokka.local"])
	}
	for _, m := range second.Mails {
		if wantOrder := m.MessageID == "stranger@quokka.local"; (m.OrderID != "") != wantOrder {
			t.Errorf("mail %+v", m)
		}
	}
	if sink.asked > 4 {
		t.Errorf("%d requests for what is new", sink.asked)
	}
}

// TestReadIndex: documents are compared field by field, and those that agreed
// are not fetched again while their rows stay.
func TestReadIndex(t *testing.T) {
	var mu sync.Mutex
	fetched := map[string]int{}
	names := map[string]string{"a": "Lamp", "b": "old"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("traceparent") == "" {
			t.Error("a request that would be traced")
		}
		part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		if part[0] == "search" {
			fmt.Fprint(w, `{"total":3,"hits":[]}`)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fetched[part[2]]++
		if names[part[2]] == "" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"id":%q,"fields":{"name":%q,"price":100}}`, part[2], names[part[2]])
	}))
	defer server.Close()
	c := &Collector{src: Sources{SearchURL: server.URL}, http: server.Client()}
	rows := tables{"products": {"a": {"name": "Lamp"}, "b": {"name": "Vase"}, "gone": {"name": "Cup"}}, "orders": {}, "customers": {}}
	read := func() checker.Verdict {
		var f checker.Facts
		if err := c.readIndex(t.Context(), &f, rows); err != nil {
			t.Fatal(err)
		}
		f.Indexed = nil // the totals here are made up
		return checker.Check(f)
	}
	if v := read(); v.Count(checker.Index) != 2 {
		t.Errorf("violations: %v", v.Violations)
	}
	mu.Lock()
	names["b"], names["gone"] = "Vase", "Cup"
	mu.Unlock()
	if v := read(); !v.OK() {
		t.Errorf("violations: %v", v.Violations)
	}
	rows["products"]["a"] = map[string]string{"name": "Lamp, new"}
	v := read()
	mu.Lock()
	defer mu.Unlock()
	if v.Count(checker.Index) != 1 || fetched["a"] != 2 || fetched["b"] != 2 {
		t.Errorf("violations: %v, fetched %v", v.Violations, fetched)
	}
	if c.Indexed()["logs"] != 3 {
		t.Errorf("indexed: %v", c.Indexed())
	}
}
