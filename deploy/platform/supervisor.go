package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// stage orders the end of the parts: what uses others ends before them. Parts
// of one stage end together.
type stage int

const (
	files stage = iota
	database
	kafka
	registries
	sinks
	services
	stages
)

// supervisor keeps what was started, watches it, and stops it.
type supervisor struct {
	mu      sync.Mutex
	started [stages][]running
	failed  chan error // the first part that ended by itself
	log     *slog.Logger
}

// running is a part at work.
type running struct {
	name string
	stop func() error
	// ended has the part's outcome once it ended, however that came.
	ended <-chan error
}

func newSupervisor() *supervisor {
	return &supervisor{failed: make(chan error, 1), log: slog.New(slog.DiscardHandler)}
}

// run starts a part that serves until it is stopped. A part that ends before
// that has failed, also if it calls it success.
func (s *supervisor) run(at stage, name string, serve, stop func() error) {
	ended := make(chan error, 1)
	stopping := make(chan struct{})
	go func() {
		err := serve()
		select {
		case <-stopping:
			ended <- err
		default:
			s.fail(name, err)
			ended <- nil // it has been reported
		}
	}()
	s.add(at, running{name: name, ended: ended, stop: func() error { close(stopping); return stop() }})
}

// runContext starts a part that serves until its context ends.
func (s *supervisor) runContext(at stage, name string, serve func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	s.run(at, name, func() error {
		if err := serve(ctx); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
			return err
		}
		return nil
	}, func() error { cancel(); return nil })
}

// closer registers what only has to be closed at the end.
func (s *supervisor) closer(at stage, name string, stop func() error) {
	ended := make(chan error)
	close(ended)
	s.add(at, running{name: name, ended: ended, stop: stop})
}

func (s *supervisor) add(at stage, r running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started[at] = append(s.started[at], r)
}

// fail notes that a part ended by itself.
func (s *supervisor) fail(name string, err error) {
	if err == nil {
		err = errors.New("ended by itself")
	}
	select {
	case s.failed <- fmt.Errorf("%s: %w", name, err):
	default: // the first failure is the cause of the others
	}
}

// stop stops everything, the last stage first, and waits for each stage to end.
// Stopping again does nothing.
func (s *supervisor) stop() error {
	s.mu.Lock()
	started := s.started
	s.started = [stages][]running{}
	s.mu.Unlock()
	var errs []error
	for at := stages - 1; at >= 0; at-- {
		if at == files && len(started[files]) > 0 {
			s.log.Info("stopped") // the log is closed next
		}
		errs = append(errs, s.stopTogether(started[at]))
	}
	return errors.Join(errs...)
}

// stopTogether stops several parts at once and waits for all.
func (s *supervisor) stopTogether(parts []running) error {
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, r := range parts {
		wg.Go(func() {
			begin := time.Now()
			err := errors.Join(r.stop(), <-r.ended)
			s.log.Debug("part stopped", "part", r.name, "took", time.Since(begin).String())
			if err != nil {
				errs[i] = fmt.Errorf("stop %s: %w", r.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
