package service_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quokka-stream/quokka/services/kit/service"
)

func TestPartsStopInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ended []string
		part := func(name string, takes time.Duration) service.Part {
			return service.Part{Name: name, Run: func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(takes)
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, name)
				return ctx.Err() // as many do
			}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- service.Run(ctx, part("http", 3*time.Second), part("consumer", time.Second), part("relay", 0))
		}()
		synctest.Wait()
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if !slices.Equal(ended, []string{"http", "consumer", "relay"}) || time.Since(began) != 4*time.Second {
			t.Errorf("ended %v in %v", ended, time.Since(began))
		}
	})
}

func TestOnePartEndsAll(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"failure":        {boom, "relay: boom"},
		"ends by itself": {nil, "relay: ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := false
			err := service.Run(t.Context(),
				service.Part{Name: "http", Run: func(ctx context.Context) error { <-ctx.Done(); stopped = true; return nil }},
				service.Part{Name: "relay", Run: func(context.Context) error { return tc.err }},
			)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !stopped {
				t.Errorf("Run = %v, the other part stopped: %v; want %q", err, stopped, tc.want)
			}
		})
	}
}
