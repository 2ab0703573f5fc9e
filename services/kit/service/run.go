package service

import (
	"context"
	"errors"
	"fmt"
)

// Part is something that runs as long as the service: a server, a consumer, a
// relay. Run returns soon after its context ended; an earlier return, or an error,
// ends the service.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
}

// Run runs the parts together until ctx ends or one of them does. It then stops
// them one after another in the order given, each when the one before has
// returned: what produces work comes before what finishes it. The error says which
// parts failed.
func Run(ctx context.Context, parts ...Part) error {
	type end struct {
		part int
		err  error
	}
	ended := make(chan end, len(parts))
	done := make([]chan struct{}, len(parts))
	cancels := make([]context.CancelFunc, len(parts))
	base := context.WithoutCancel(ctx)
	for i, p := range parts {
		var partCtx context.Context
		partCtx, cancels[i] = context.WithCancel(base)
		defer cancels[i]()
		done[i] = make(chan struct{})
		go func() {
			err := p.Run(partCtx)
			if err == nil && partCtx.Err() == nil {
				err = errors.New("ended by itself")
			}
			if partCtx.Err() != nil && errors.Is(err, context.Canceled) {
				err = nil
			}
			ended <- end{i, err}
			close(done[i])
		}()
	}

	var errs []error
	collect := func(e end) {
		if e.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", parts[e.part].Name, e.err))
		}
	}
	left := len(parts)
	select {
	case <-ctx.Done():
	case e := <-ended:
		left--
		collect(e)
	}
	for i := range parts {
		cancels[i]()
		<-done[i]
	}
	for ; left > 0; left-- {
		collect(<-ended)
	}
	return errors.Join(errs...)
}
