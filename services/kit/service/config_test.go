package service_test

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/services/kit/service"
)

type config struct {
	service.Config
	Addr     string       `env:"QUOKKA_TEST_ADDR" envDefault:"127.0.0.1:1" help:"where to listen"`
	Listener net.Listener `env:"-"`
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := service.Load[config](map[string]string{
		"QUOKKA_KAFKA_BROKERS": "a:1,b:2", "QUOKKA_LOG_LEVEL": "debug", "QUOKKA_POSTGRES_URL_FILE": file,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cfg.KafkaBrokers, []string{"a:1", "b:2"}) || cfg.LogLevel != slog.LevelDebug || cfg.PostgresURL != "postgres://from-file" {
		t.Errorf("loaded %+v", cfg)
	}
	if cfg.Addr != "127.0.0.1:1" || cfg.RegistryURL != "http://127.0.0.1:8081" || !cfg.ShipLogs || cfg.TraceRatio != 1 {
		t.Errorf("defaults %+v", cfg)
	}
	for name, value := range map[string]string{"QUOKKA_LOG_LEVEL": "loud", "QUOKKA_POSTGRES_URL_FILE": "/nowhere", "QUOKKA_POSTGRES_CONNS": "many"} {
		if _, err := service.Load[config](map[string]string{name: value}); err == nil {
			t.Errorf("%s=%s was accepted", name, value)
		}
	}
}

func TestVariables(t *testing.T) {
	vars, err := service.Variables(config{})
	if err != nil {
		t.Fatal(err)
	}
	last := vars[len(vars)-1]
	if want := (service.Variable{Name: "QUOKKA_TEST_ADDR", Default: "127.0.0.1:1", Help: "where to listen"}); last != want {
		t.Errorf("last variable %+v, want %+v", last, want)
	}
	if !slices.ContainsFunc(vars, func(v service.Variable) bool {
		return v.Name == "QUOKKA_KAFKA_BROKERS" && v.Default == "127.0.0.1:9092"
	}) {
		t.Errorf("embedded variables are missing: %+v", vars)
	}
	var undocumented struct {
		X string `env:"QUOKKA_X"`
	}
	if _, err := service.Variables(undocumented); err == nil || !strings.Contains(err.Error(), "QUOKKA_X has no help tag") {
		t.Errorf("error %v for a variable without help", err)
	}
}
