package brokercmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/quokka-stream/quokka/broker"
)

// serveHTTP serves /metrics and /healthz until stop is called.
func serveHTTP(ctx context.Context, addr string, b *broker.Broker, log *slog.Logger) (stop func(), err error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for metrics on %s (--metrics names the address): %w", addr, err)
	}
	log.Info("metrics and health are served", "addr", ln.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", b.Metrics())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := b.Healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serving metrics failed", "err", err)
		}
	}()
	return func() {
		_ = srv.Close() // the process ends
		<-done
	}, nil
}
