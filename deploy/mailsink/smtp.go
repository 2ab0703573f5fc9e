package mailsink

import (
	"io"
	"log"
	"log/slog"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// newSMTP returns the server that stores what it receives in s. A client that
// stops talking, or talks without end, costs only its own connection.
func newSMTP(s *Sink) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{sink: s}, nil
	}))
	server.Domain = "quokka.local"
	server.MaxMessageBytes = s.cfg.MaxMessageBytes
	server.MaxRecipients = 100
	server.ReadTimeout = time.Minute
	server.WriteTimeout = time.Minute
	server.EnableSMTPUTF8 = true
	server.ErrorLog = log.New(warnings{s.cfg.Logger}, "", 0)
	return server
}

// session is one client's connection: the envelope of the mail under way.
type session struct {
	sink *Sink
	mail delivery
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.mail = delivery{From: from}
	return nil
}

// Rcpt refuses addresses under .invalid, a domain that never exists (RFC 2606
// §2), as a mail server that looks for it would: so a failure that lasts until the
// address is mended can be had on purpose.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if domain := strings.ToLower(strings.TrimRight(to, ".")); strings.HasSuffix(domain, ".invalid") || strings.HasSuffix(domain, "@invalid") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 2}, Message: "there is no domain .invalid"}
	}
	s.mail.To = append(s.mail.To, to)
	return nil
}

// Data returns, and with it the server answers 250, once the mail is on disk.
// A client that hears the temporary error instead will send the mail again.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	mail := s.mail
	mail.Raw, mail.Received = raw, time.Now().UTC()
	if err := s.sink.accept(mail); err != nil {
		s.sink.cfg.Logger.Error("a mail could not be stored", "error", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the mail could not be stored, send it again later"}
	}
	return nil
}

func (s *session) Reset() { s.mail = delivery{} }

func (s *session) Logout() error { return nil }

// warnings turns the server's log lines into records of a slog.Logger.
type warnings struct{ logger *slog.Logger }

func (w warnings) Write(line []byte) (int, error) {
	w.logger.Warn("smtp: " + string(line))
	return len(line), nil
}
