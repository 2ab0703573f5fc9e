package mailsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/quokka-stream/quokka/deploy/journal"
)

// Config says where a sink listens and keeps its mails.
type Config struct {
	// Dir is the directory of the file mails.jsonl.
	Dir string
	// SMTP and HTTP are the listeners; the sink closes them.
	SMTP, HTTP net.Listener
	// MaxMessageBytes bounds one mail; zero means 10 MiB.
	MaxMessageBytes int64
	// Logger takes what the protocol does not report to a client; nil drops it.
	Logger *slog.Logger
}

// Sink is an open mail sink.
type Sink struct {
	cfg     Config
	journal *journal.Journal
	smtp    *smtp.Server
	http    *http.Server

	mu         sync.RWMutex
	deliveries []summary // by order of arrival
}

// delivery is one accepted mail as the journal keeps it.
type delivery struct {
	Received time.Time `json:"received"`
	From     string    `json:"from"`
	To       []string  `json:"to"`
	Raw      []byte    `json:"raw"`
}

// Open recovers the mails kept in the directory and prepares the servers.
func Open(cfg Config) (*Sink, error) {
	if cfg.MaxMessageBytes == 0 {
		cfg.MaxMessageBytes = 10 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sink{cfg: cfg}
	var err error
	s.journal, err = journal.Open(filepath.Join(cfg.Dir, "mails.jsonl"), func(line []byte, at int64) error {
		var d delivery
		if err := json.Unmarshal(line, &d); err != nil {
			return err
		}
		s.list(d, at)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mail sink: %w", err)
	}
	s.smtp = newSMTP(s)
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Serve answers on both listeners until Close or until one of them fails.
func (s *Sink) Serve() error {
	failed := make(chan error, 2)
	go func() { failed <- s.smtp.Serve(s.cfg.SMTP) }()
	go func() { failed <- s.http.Serve(s.cfg.HTTP) }()
	var errs []error
	for range 2 {
		err := <-failed
		if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("mail sink: %w", err))
			s.stopServers()
		}
	}
	return errors.Join(errs...)
}

// Close stops the servers and closes the file.
func (s *Sink) Close() error {
	s.stopServers()
	return s.journal.Close()
}

func (s *Sink) stopServers() {
	s.smtp.Close()
	s.http.Close()
	// Servers that never served do not know their listeners.
	s.cfg.SMTP.Close()
	s.cfg.HTTP.Close()
}

// SMTPAddr is the address mails are sent to.
func (s *Sink) SMTPAddr() string { return s.cfg.SMTP.Addr().String() }

// URL is where the list of mails is served.
func (s *Sink) URL() string { return "http://" + s.cfg.HTTP.Addr().String() }

// accept stores a mail durably, then lists it.
func (s *Sink) accept(d delivery) error {
	at, err := s.journal.Append(d)
	if err != nil {
		return err
	}
	s.list(d, at)
	return nil
}

func (s *Sink) list(d delivery, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = append(s.deliveries, summarise(d, at, len(s.deliveries)+1))
}
