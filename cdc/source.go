package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
)

// source runs one captured database: one session after the other, each from
// connecting to the error that ends it.
type source struct {
	Source
	cfg      *Config
	registry Registry
	metrics  *metrics
	health   *health
	log      *slog.Logger

	client *kgo.Client
	store  *stateStore
	// whole: the next session asks for large transactions at their end only. The
	// server cannot decode every transaction before it: one that alters a table,
	// rolls that back to a savepoint and alters it again gives an internal error,
	// whenever it is tried.
	whole bool
}

const maxBackoff = 15 * time.Second

// run streams until ctx ends or an error does not pass.
func (s *source) run(ctx context.Context) error {
	client, err := s.cfg.newProducer()
	if err != nil {
		s.health.set(Failed, err)
		return fmt.Errorf("source %s: %w", s.Name, err)
	}
	defer client.Close()
	s.client = client
	s.store = &stateStore{client: client, opts: s.cfg.clientOptions(), topic: s.cfg.StateTopic, key: s.Database + "/" + s.Slot}

	// Records may be under way for a while after ctx has ended.
	linger, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(s.cfg.ShutdownTimeout):
			cut()
		case <-linger.Done():
		}
	})()

	for backoff := s.cfg.LeaseInterval; ; {
		began := time.Now()
		err := s.session(ctx, linger)
		s.whole = pgrepl.CodeOf(err) == "XX000" // internal_error
		if ctx.Err() != nil {
			s.health.set(Stopped, nil)
			return nil
		}
		if permanent(err) {
			s.metrics.errors.WithLabelValues(s.Name, "permanent").Inc()
			s.health.set(Failed, err)
			s.log.Error("source stopped", "error", err)
			return err
		}
		if time.Since(began) > maxBackoff {
			backoff = s.cfg.LeaseInterval
		}
		wait := s.report(err, backoff)
		// What the session left with the client must not come after what the
		// next one sends.
		if err := client.Flush(ctx); err != nil {
			continue // ctx has ended
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		// Twice the pause of one that began anew at once, none, would be no pause for
		// all that fail after it.
		backoff = min(max(2*wait, s.cfg.LeaseInterval), maxBackoff)
	}
}

// report tells why a session ended and returns how long to wait.
func (s *source) report(err error, backoff time.Duration) time.Duration {
	switch {
	case errors.Is(err, errJoined), errors.Is(err, errSnapshotStale):
		s.log.Info("source begins anew", "reason", err)
		return 0
	case pgrepl.CodeOf(err) == "55006": // object_in_use
		if s.health.status().State != Standby {
			s.log.Info("the slot is in use, standing by", "reason", err)
		}
		s.health.set(Standby, err)
		return s.cfg.LeaseInterval
	}
	s.metrics.errors.WithLabelValues(s.Name, "transient").Inc()
	s.health.set(Starting, err)
	s.log.Warn("source interrupted, trying again", "error", err, "in", backoff)
	return backoff
}

// session goes on from whatever it finds, until an error.
func (s *source) session(ctx, linger context.Context) error {
	s.health.begin()
	cat, err := openCatalog(ctx, s.cfg.PostgresURL, s.Database)
	if err != nil {
		return err
	}
	defer cat.close()
	conn, err := s.lease(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	sys, err := conn.IdentifySystem(ctx)
	if err != nil {
		return err
	}
	exists, err := conn.PublicationExists(ctx, s.Publication)
	if err != nil {
		return err
	}
	if !exists {
		return fmt.Errorf("database %s has no publication %s yet; the migrations of the service that owns the database create it", s.Database, s.Publication)
	}
	all, err := cat.publication(ctx, s.Publication)
	if err != nil {
		return err
	}
	st, err := s.store.load(ctx)
	if err != nil {
		return err
	}
	slot, err := conn.FindSlot(ctx, s.Slot)
	if err != nil {
		return err
	}
	p, err := decide(s.Source, st, slot, sys, all, s.cfg.Resnapshot)
	if err != nil {
		return err
	}

	ts := newTables(s.Source, cat, s.registry, s.client, s.metrics, s.stopped)
	next := &state{Source: s.Name, Database: s.Database, Slot: s.Slot, SystemID: sys.ID, Timeline: sys.Timeline, Epoch: 1, Tables: map[string]uint32{}}
	if st != nil {
		next.Epoch = st.Epoch + 1
	}
	if !p.create {
		next.Position = p.from
		maps.Copy(ts.read, st.Tables)
		for _, t := range all { // one that left is read anew when it returns
			if oid, ok := st.Tables[t.String()]; ok {
				next.Tables[t.String()] = oid
			}
		}
	}
	run := &session{source: s, ctx: ctx, linger: linger, conn: conn, tables: ts, state: next}
	if err := run.snapshot(p, all); err != nil {
		return err
	}
	return run.stream()
}

func names(all []published) []string {
	out := make([]string, len(all))
	for i, p := range all {
		out[i] = p.String()
	}
	return out
}

// stopped is told of every table that stops.
func (s *source) stopped(err *TableError) {
	s.metrics.errors.WithLabelValues(s.Name, "table").Inc()
	s.health.tableStopped(err)
	s.log.Error("table stopped", "table", err.Table, "topic", err.Topic, "subject", err.Subject, "error", err)
}

// lease returns a replication connection that has the source's lease. There is
// one for each slot in its database: an advisory lock, which ends with the
// connection. Until it is free the instance stands by.
func (s *source) lease(ctx context.Context) (*pgrepl.Conn, error) {
	cfg, err := pgconn.ParseConfig(s.cfg.PostgresURL)
	if err != nil {
		return nil, err
	}
	cfg.Database = s.Database
	cfg.RuntimeParams["application_name"] = applicationName
	conn, err := pgrepl.Connect(ctx, cfg)
	if err != nil {
		return nil, s.serverError(err)
	}
	fail := func(err error) (*pgrepl.Conn, error) {
		conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	level, err := conn.Setting(ctx, "wal_level")
	if err != nil {
		return fail(err)
	}
	if level != "logical" {
		return fail(&ServerError{s.Name, fmt.Sprintf("the server's wal_level is %s; set wal_level = logical and restart it", level)})
	}
	for waited := false; ; waited = true {
		got, err := conn.TryLock(ctx, "quokka cdc "+s.Slot)
		if err != nil {
			return fail(err)
		}
		if got {
			s.health.set(Starting, nil)
			return conn, nil
		}
		if !waited {
			s.health.set(Standby, nil)
			s.log.Info("another instance streams from the slot, standing by")
		}
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-time.After(s.cfg.LeaseInterval):
		}
	}
}

// serverError makes permanent what the server will refuse again.
func (s *source) serverError(err error) error {
	switch pgrepl.CodeOf(err) {
	case "42501", "28000": // insufficient_privilege, invalid_authorization_specification
		return &ServerError{s.Name, fmt.Sprintf("%v; the login in QUOKKA_POSTGRES_URL needs REPLICATION (ALTER ROLE … REPLICATION) and a replication entry in pg_hba.conf", err)}
	}
	return err
}
