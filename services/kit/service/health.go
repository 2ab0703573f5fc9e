package service

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// readiness runs the checks of /readyz.
type readiness struct {
	checks  []check
	closing atomic.Bool
}

type check struct {
	name string
	run  func(context.Context) error
}

func (h *readiness) add(name string, run func(context.Context) error) {
	h.checks = append(h.checks, check{name, run})
}

// close makes the service not ready: it is about to end.
func (h *readiness) close() { h.closing.Store(true) }

// health is the body of /healthz and /readyz.
type health struct {
	Status string            `json:"status"` // ok, failing or closing
	Checks map[string]string `json:"checks,omitempty"`
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	_ = WriteJSON(w, http.StatusOK, health{Status: "ok"})
}

func (h *readiness) serve(w http.ResponseWriter, r *http.Request) {
	if h.closing.Load() {
		_ = WriteJSON(w, http.StatusServiceUnavailable, health{Status: "closing"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	errs := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { errs[i] = c.run(ctx) })
	}
	wg.Wait()
	answer, status := health{Status: "ok", Checks: map[string]string{}}, http.StatusOK
	for i, c := range h.checks {
		answer.Checks[c.name] = "ok"
		if errs[i] != nil {
			answer.Checks[c.name] = errs[i].Error()
			answer.Status, status = "failing", http.StatusServiceUnavailable
		}
	}
	_ = WriteJSON(w, status, answer)
}
