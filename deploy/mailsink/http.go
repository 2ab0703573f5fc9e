package mailsink

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/mail"
	"strconv"
	"time"
)

// Handler serves the list of mails: Mailpit's paths for programs, a page for people.
func (s *Sink) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/messages", s.getMessages)
	mux.HandleFunc("GET /api/v1/message/{id}", s.getMessage)
	mux.HandleFunc("GET /api/v1/message/{id}/headers", s.getHeaders)
	mux.HandleFunc("GET /api/v1/message/{id}/raw", s.getRaw)
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /readyz", ok)
	mux.HandleFunc("GET /view/{id}", s.getRaw)
	mux.HandleFunc("GET /{$}", s.getPage)
	return mux
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// listing is the answer to GET /api/v1/messages.
type listing struct {
	Total          int       `json:"total"`
	Unread         int       `json:"unread"`
	Count          int       `json:"count"`
	MessagesCount  int       `json:"messages_count"`
	MessagesUnread int       `json:"messages_unread"`
	Start          int       `json:"start"`
	Tags           []string  `json:"tags"`
	Messages       []summary `json:"messages"`
}

// getMessages lists the newest mails first, 50 unless a limit is given.
func (s *Sink) getMessages(w http.ResponseWriter, r *http.Request) {
	start, err1 := number(r, "start", 0)
	limit, err2 := number(r, "limit", 50)
	if err1 != nil || err2 != nil {
		http.Error(w, "start and limit are numbers, zero or more", http.StatusBadRequest)
		return
	}
	mails, total := s.page(start, limit)
	writeJSON(w, listing{
		Total: total, Unread: total, Count: len(mails), MessagesCount: total, MessagesUnread: total,
		Start: start, Tags: []string{}, Messages: mails,
	})
}

// page returns up to limit mails after the newest start ones, and how many there are.
func (s *Sink) page(start, limit int) ([]summary, int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	total := len(s.deliveries)
	mails := make([]summary, 0, max(0, min(limit, total-start)))
	for i := total - 1 - start; i >= 0 && len(mails) < limit; i-- {
		mails = append(mails, s.deliveries[i])
	}
	return mails, total
}

func number(r *http.Request, name string, otherwise int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}

// load returns the mail that the path names, or answers 404.
func (s *Sink) load(w http.ResponseWriter, r *http.Request) (summary, delivery, bool) {
	n, err := strconv.Atoi(r.PathValue("id"))
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err != nil || n < 1 || n > len(s.deliveries) {
		http.Error(w, "no such mail", http.StatusNotFound)
		return summary{}, delivery{}, false
	}
	var d delivery
	if err := s.journal.Read(s.deliveries[n-1].at, &d); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return summary{}, delivery{}, false
	}
	return s.deliveries[n-1], d, true
}

func (s *Sink) getMessage(w http.ResponseWriter, r *http.Request) {
	sum, d, found := s.load(w, r)
	if !found {
		return
	}
	answer := struct {
		summary
		Date time.Time
		Text string
	}{summary: sum, Date: sum.Created}
	if m, err := mail.ReadMessage(bytes.NewReader(d.Raw)); err == nil {
		answer.Text = plainText(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	}
	writeJSON(w, answer)
}

func (s *Sink) getHeaders(w http.ResponseWriter, r *http.Request) {
	_, d, found := s.load(w, r)
	if !found {
		return
	}
	m, err := mail.ReadMessage(bytes.NewReader(d.Raw))
	if err != nil {
		http.Error(w, "the mail has no readable header: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	writeJSON(w, m.Header)
}

func (s *Sink) getRaw(w http.ResponseWriter, r *http.Request) {
	_, d, found := s.load(w, r)
	if !found {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(d.Raw) // a reader that has gone is no failure here
}

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("mails").Parse(pageHTML))

// getPage shows the newest mails to a person.
func (s *Sink) getPage(w http.ResponseWriter, _ *http.Request) {
	mails, total := s.page(0, 200)
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, map[string]any{"Mails": mails, "Total": total}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = page.WriteTo(w)
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}
