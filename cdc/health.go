package cdc

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// State is what a source is doing.
type State string

// The states of a source.
const (
	// Starting: connecting, or waiting for what it needs, such as a database
	// that does not exist yet.
	Starting State = "starting"
	// Standby: another instance has the lease.
	Standby State = "standby"
	// Snapshotting: reading rows that were there before the slot.
	Snapshotting State = "snapshot"
	// Streaming: following the slot.
	Streaming State = "streaming"
	// Failed: stopped by an error that does not pass.
	Failed State = "failed"
	// Stopped: the relay's context has ended.
	Stopped State = "stopped"
)

var allStates = []State{Starting, Standby, Snapshotting, Streaming, Failed, Stopped}

// Status is a source's health.
type Status struct {
	Source string
	State  State
	// Confirmed is the position confirmed to the server, as it writes it; empty
	// before the first.
	Confirmed string
	// Err is why the source is not streaming, nil if nothing is wrong.
	Err error
	// Stopped are the tables that are not written.
	Stopped []*TableError
}

// health keeps a source's status.
type health struct {
	source  string
	metrics *metrics

	mu        sync.Mutex
	state     State
	err       error
	confirmed pgoutput.LSN
	stopped   []*TableError
}

func (h *health) set(state State, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state, h.err = state, err
	for _, s := range allStates {
		v := 0.0
		if s == state {
			v = 1
		}
		h.metrics.status.WithLabelValues(h.source, string(s)).Set(v)
	}
}

func (h *health) confirm(pos pgoutput.LSN) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.confirmed = pos
	h.metrics.position.WithLabelValues(h.source).Set(float64(pos))
}

// tableStopped adds a stopped table, begin forgets those of the session before.
func (h *health) tableStopped(err *TableError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = append(h.stopped, err)
}

func (h *health) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = nil
}

func (h *health) status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Status{Source: h.source, State: h.state, Err: h.err, Stopped: slices.Clone(h.stopped)}
	if h.confirmed != 0 {
		s.Confirmed = h.confirmed.String()
	}
	return s
}

// Status returns the state of each source.
func (r *Relay) Status() []Status {
	out := make([]Status, len(r.sources))
	for i, s := range r.sources {
		out[i] = s.health.status()
	}
	return out
}

// Ready returns nil when every source streams, or stands by for another
// instance, with all its tables; else what is missing.
func (r *Relay) Ready() error {
	var errs []error
	for _, s := range r.Status() {
		if s.State != Streaming && s.State != Standby {
			err := s.Err
			if err == nil {
				err = errors.New("not streaming yet")
			}
			errs = append(errs, fmt.Errorf("source %s is %s: %w", s.Source, s.State, err))
		}
		for _, t := range s.Stopped {
			errs = append(errs, t)
		}
	}
	return errors.Join(errs...)
}
