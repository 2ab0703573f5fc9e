package order_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/quokka-stream/quokka/schemas/registry"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/order"
)

// A service that cannot work does not start, and says what to do.
func TestRefusesToStart(t *testing.T) {
	p := kittest.NewPlatform(t)
	empty, err := registry.Open(t.Context(), registry.Config{
		Brokers: p.Config.KafkaBrokers, Topic: "_empty", Listener: kittest.Listener(t), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = empty.Serve() })
	t.Cleanup(func() {
		_ = empty.Close()
		serving.Wait()
	})
	server, database := kittest.Database(t)
	taken := kittest.Listener(t)
	defer taken.Close()
	var unknown *serde.UnknownSchemaError
	for _, tc := range []struct {
		name  string
		spoil func(*order.Config)
		want  string
		as    any
	}{
		{"registry without schemas", func(c *order.Config) { c.RegistryURL = "http://" + empty.Addr() }, "orders.v1-quokka.order.v1.OrderPlaced", &unknown},
		{"no schema for log lines", func(c *order.Config) { c.RegistryURL, c.ShipLogs = "http://"+empty.Addr(), true }, "logs.v1-value", &unknown},
		{"no registry", func(c *order.Config) { c.RegistryURL = "http://127.0.0.1:1" }, "127.0.0.1:1", nil},
		{"no server named", func(c *order.Config) { c.PostgresURL = "" }, "set QUOKKA_POSTGRES_URL", nil},
		{"no such database", func(c *order.Config) { c.Database = "quokka_none" }, "quokka_none", nil},
		{"address taken", func(c *order.Config) { c.Addr = taken.Addr().String() }, "set QUOKKA_ORDER_ADDR", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := order.Config{Config: p.Config, Addr: "127.0.0.1:0", Database: database}
			cfg.PostgresURL = server
			tc.spoil(&cfg)
			_, err := order.New(t.Context(), cfg, kittest.Telemetry(t, telemetry.Config{Service: order.Name}))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "order service: ") {
				t.Fatalf("error %v, want it to name %q", err, tc.want)
			}
			if tc.as != nil && !errors.As(err, tc.as) {
				t.Errorf("error %v is no %T", err, tc.as)
			}
		})
	}
}
