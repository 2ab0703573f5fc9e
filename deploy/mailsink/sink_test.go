package mailsink

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// start runs a sink on free ports; the returned func stops it.
func start(t *testing.T, dir string) (*Sink, func()) {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	s, err := Open(Config{Dir: dir, SMTP: listen(), HTTP: listen(), MaxMessageBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
}

func send(s *Sink, id, subject, body string) error {
	msg := fmt.Sprintf("From: Quokka <orders@quokka.local>\r\nTo: Ada <ada@example.test>\r\nSubject: %s\r\n"+
		"Message-ID: <%s@quokka.local>\r\nX-Quokka-Order: o-1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n", subject, id, body)
	return smtp.SendMail(s.SMTPAddr(), nil, "orders@quokka.local", []string{"ada@example.test"}, []byte(msg))
}

func get(t *testing.T, url string, into any) int {
	t.Helper()
	resp, err := http.Get(url) //nolint:gosec // the address of the sink under test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := into.(*string); ok {
		*text = string(body)
	} else if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatalf("%s: %v in %s", url, err, body)
		}
	}
	return resp.StatusCode
}

func TestDeliveriesAreListedAndSurvive(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	defer http.DefaultClient.CloseIdleConnections()
	dir := t.TempDir()
	s, stop := start(t, dir)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := send(s, fmt.Sprintf("id-%d", i), "=?utf-8?q?Best=C3=A4tigt?=", "Hello Ada,\r\nyour order."); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := send(s, "id-3", "again", "a second delivery is kept as well"); err != nil {
		t.Fatal(err)
	}
	stop()

	s, stop = start(t, dir)
	defer stop()
	var all listing
	get(t, s.URL()+"/api/v1/messages?limit=100", &all)
	if all.Total != 21 || all.Count != 21 || len(all.Messages) != 21 {
		t.Fatalf("total %d, count %d, %d messages, want 21", all.Total, all.Count, len(all.Messages))
	}
	if newest := all.Messages[0]; newest.Subject != "again" || newest.MessageID != "id-3@quokka.local" {
		t.Errorf("newest is %+v", newest)
	}
	seen := map[string]int{}
	for _, m := range all.Messages {
		seen[m.MessageID]++
	}
	if len(seen) != 20 || seen["id-3@quokka.local"] != 2 {
		t.Errorf("message ids: %v", seen)
	}
	m := all.Messages[5]
	if m.Subject != "Bestätigt" || m.From.Name != "Quokka" || m.To[0].Address != "ada@example.test" || m.Snippet != "Hello Ada, your order." {
		t.Errorf("listed as %+v", m)
	}

	var page listing
	get(t, s.URL()+"/api/v1/messages?start=20&limit=5", &page)
	if page.Start != 20 || page.Count != 1 || page.Total != 21 {
		t.Errorf("last page: %+v", page)
	}
	var headers map[string][]string
	get(t, s.URL()+"/api/v1/message/"+m.ID+"/headers", &headers)
	if got := headers["X-Quokka-Order"]; len(got) != 1 || got[0] != "o-1" {
		t.Errorf("headers: %v", headers)
	}
	var one struct{ Text, Subject string }
	get(t, s.URL()+"/api/v1/message/"+m.ID, &one)
	if !strings.HasPrefix(one.Text, "Hello Ada,") || one.Subject != "Bestätigt" {
		t.Errorf("message: %+v", one)
	}
	var raw, html string
	get(t, s.URL()+"/view/"+m.ID, &raw)
	if !strings.Contains(raw, "X-Quokka-Order: o-1") {
		t.Errorf("raw: %q", raw)
	}
	get(t, s.URL()+"/", &html)
	if !strings.Contains(html, "Bestätigt") || !strings.Contains(html, "21 delivered") {
		t.Errorf("page: %s", html)
	}
}

func TestUnusualRequestsAndMails(t *testing.T) {
	s, _ := start(t, t.TempDir())
	for path, want := range map[string]int{
		"/api/v1/message/1": 404, "/api/v1/message/x/raw": 404, "/api/v1/messages?limit=-1": 400,
		"/api/v1/messages?start=x": 400, "/nothing": 404, "/readyz": 200,
	} {
		var body string
		if got := get(t, s.URL()+path, &body); got != want {
			t.Errorf("GET %s: %d, want %d", path, got, want)
		}
	}
	// No header at all: delivered, so listed, under its envelope.
	if err := smtp.SendMail(s.SMTPAddr(), nil, "a@b.c", []string{"x@y.z"}, []byte("\x00 not a message")); err != nil {
		t.Fatal(err)
	}
	var all listing
	get(t, s.URL()+"/api/v1/messages", &all)
	if all.Total != 1 || all.Messages[0].From.Address != "a@b.c" || all.Messages[0].To[0].Address != "x@y.z" {
		t.Errorf("listed: %+v", all)
	}
	// To a domain that cannot exist: refused for good.
	for to, refused := range map[string]bool{"ada@shop.invalid": true, "ada@INVALID": true, "ada@invalid.example.test": false} {
		err := smtp.SendMail(s.SMTPAddr(), nil, "a@b.c", []string{to}, []byte("Subject: x\r\n\r\n"))
		if refused != (err != nil) || refused && !strings.Contains(err.Error(), "550") {
			t.Errorf("a mail to %s: %v", to, err)
		}
	}
	// Too large: refused, not listed.
	if err := send(s, "big", "big", strings.Repeat("x", 65<<10)); err == nil {
		t.Error("a mail over the limit was accepted")
	}
	get(t, s.URL()+"/api/v1/messages", &all)
	if all.Total != 2 {
		t.Errorf("%d mails after refused ones, want 2", all.Total)
	}
}

// TestNothingAcknowledgedWithoutStorage: when the file fails, the client hears
// a temporary error and keeps the mail.
func TestNothingAcknowledgedWithoutStorage(t *testing.T) {
	s, _ := start(t, t.TempDir())
	if err := s.journal.Close(); err != nil {
		t.Fatal(err)
	}
	err := send(s, "x", "x", "x")
	if err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("got %v, want 451", err)
	}
}

func TestMultipartText(t *testing.T) {
	raw := "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>no</p>\r\n" +
		"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nna=C3=AFve\r\n--b--\r\n"
	if got := summarise(delivery{Raw: []byte(raw)}, 0, 1).Snippet; got != "naïve" {
		t.Errorf("snippet %q", got)
	}
}
