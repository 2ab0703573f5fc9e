package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/internal/pgserver"
	"github.com/quokka-stream/quokka/schemas/registry"
)

// TestCommand: the command streams, says how it is, and ends when told.
func TestCommand(t *testing.T) {
	database := pgserver.NewDatabase(t)
	brokers := brokertest.Brokers(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	sql, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sql.Close(context.Background()) }()
	if _, err := sql.Exec(t.Context(), "CREATE TABLE items (id int PRIMARY KEY); CREATE PUBLICATION quokka_cdc FOR ALL TABLES"); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(t.Context(), registry.Config{Brokers: brokers, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = reg.Serve() }()
	defer func() { _ = reg.Close() }()

	t.Setenv("QUOKKA_POSTGRES_URL", database)
	t.Setenv("QUOKKA_KAFKA_BROKERS", strings.Join(brokers, ","))
	t.Setenv("QUOKKA_REGISTRY_URL", "http://"+reg.Addr())
	t.Setenv("QUOKKA_CDC_SOURCES", "command="+name)
	t.Setenv("QUOKKA_CDC_METRICS", "127.0.0.1:0")
	t.Setenv("QUOKKA_CDC_STATE_TOPIC", fmt.Sprintf("state.%s.%d", name, time.Now().UnixNano()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log, out := io.Pipe()
	go func() {
		ended <- run(ctx, nil, out)
		_ = out.Close()
	}()
	metrics := ""
	for lines := bufio.NewScanner(log); metrics == ""; {
		if !lines.Scan() {
			t.Fatalf("it ended before it served metrics: %v", <-ended)
		}
		_, metrics, _ = strings.Cut(lines.Text(), "metrics and health are served\" addr=")
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()

	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + metrics + path)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		code, body := get("/readyz")
		if code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", body)
		}
	}
	if _, body := get("/metrics"); !strings.Contains(body, `quokka_cdc_state{source="command",state="streaming"} 1`) {
		t.Errorf("metrics do not say that it streams:\n%s", body)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestUsage(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
	for _, variable := range []string{"QUOKKA_POSTGRES_URL", "QUOKKA_KAFKA_BROKERS", "QUOKKA_REGISTRY_URL", "QUOKKA_CDC_SOURCES", "QUOKKA_CDC_METRICS", "QUOKKA_CDC_RESNAPSHOT", "QUOKKA_CDC_SPILL_DIR"} {
		if !strings.Contains(out.String(), variable) {
			t.Errorf("the help does not name %s", variable)
		}
	}
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, args := range map[string][]string{
		"QUOKKA_POSTGRES_URL":    {},
		"want name=database":     {"--sources", "order"},
		"unexpected argument":    {"x"},
		"debug, info":            {"--log-level", "loud"},
		"another address":        {"--postgres", "postgres://127.0.0.1:1/x", "--metrics", taken.Addr().String()},
		"flag provided but not":  {"--nonsense"},
		"must not be negative":   {"--postgres", "postgres://127.0.0.1:1/x", "--memory-limit", "-1"},
		"letters, digits and un": {"--postgres", "postgres://127.0.0.1:1/x", "--sources", "Upper=x"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
