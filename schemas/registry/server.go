package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

// parsedSchemas is how many parsed schemas are kept: about 40 KiB each.
const parsedSchemas = 256

// Server is a schema registry on a topic of a Kafka cluster.
type Server struct {
	cfg      Config
	logger   *slog.Logger
	metrics  *metrics
	store    *store
	parser   *parser
	listener net.Listener
	cluster  string // Kafka's id of itself
	http     *http.Server
	unused   unused
	stop     context.CancelFunc
	reading  sync.WaitGroup
	close    sync.Once
}

// Open connects to Kafka, reads all schemas and listens. The server answers
// requests once Serve is called. An error says what to do about it.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.StartTimeout)
	defer cancel()
	log, err := openKafka(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s, err := openOn(ctx, cfg, log)
	if err != nil {
		log.close()
		return nil, err
	}
	s.cluster = log.cluster
	return s, nil
}

// openOn is Open with a log that is already there.
func openOn(ctx context.Context, cfg Config, log topicLog) (*Server, error) {
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("registry: metrics: %w", err)
	}
	s := &Server{cfg: cfg, logger: cfg.Logger, metrics: m, parser: newParser(parsedSchemas)}
	s.store = newStore(log, uuid.NewString(), cfg.quiet, cfg.Logger, m)
	reading, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.reading.Go(func() { s.store.run(reading) })
	if err := s.store.open(ctx); err != nil {
		s.halt()
		return nil, fmt.Errorf("registry: cannot read topic %s: %w", cfg.Topic, err)
	}
	if s.listener = cfg.Listener; s.listener == nil {
		if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.Addr); err != nil {
			s.halt()
			return nil, fmt.Errorf("registry: cannot listen on %s: %w: choose another address", cfg.Addr, err)
		}
	}
	s.http = &http.Server{
		Handler:           s.Handler(),
		ConnState:         s.unused.note,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      cfg.Timeout + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Addr is the address the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers requests until Close, after which it returns nil.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

// Close answers the requests under way, for at most five seconds, and
// disconnects. It may be called more than once.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err = s.unused.shutdown(ctx, s.http); err != nil {
			err = errors.Join(err, s.http.Close())
		}
		// Where Serve was never called, the listener is still ours.
		if e := s.listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
		s.halt()
		s.store.log.close()
	})
	return err
}

// halt stops reading the topic.
func (s *Server) halt() {
	s.stop()
	s.reading.Wait()
}
