package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/tracequery"
	"github.com/quokka-stream/quokka/internal/freeport"
	"github.com/quokka-stream/quokka/schemas"
)

// TestEveryOrderIsOneTrace: 100 of 100 orders are one trace, with the broker's
// spans, while consumers come and go, and with attempts that failed. The traces are
// in the embedded store, which also takes them from other processes; or in the
// Jaeger that QUOKKA_E2E_JAEGER names, see `make trace-test`.
func TestEveryOrderIsOneTrace(t *testing.T) {
	const orders = 100
	dir := dataDir(t)
	args := []string{"--broker-trace"}
	if binary := os.Getenv("QUOKKA_E2E_JAEGER"); binary != "" {
		otlp, traces := jaeger(t, binary)
		args = append(args, "--otlp", otlp, "--traces", traces)
	}
	p, at := up(t, dir, args...)
	client := &http.Client{Timeout: patience}
	for _, sku := range []string{"MANY", "LOCKED"} {
		put(t, client, at.InventoryURL+"/products/"+sku, map[string]any{"name": sku, "description": "", "price_cents": 100, "currency": "EUR", "initial_stock": 10 * orders})
	}
	customers := everywhere(20, func() string { return addCustomer(t, client, at) })
	placed := map[string]bool{}
	place := func(n int) {
		for range n {
			placed[placeOrder(t, client, at, customers[len(placed)%len(customers)], "MANY", 1)] = true
		}
	}

	// Two consumers join, take partitions over, go, and come back.
	place(20)
	for round := range 2 {
		inventory, notification := second(t, at, "inventory"), second(t, at, "notification")
		place(20)
		for _, s := range []*consumer{inventory, notification} {
			eventually(t, "the second "+s.name+" handles something", func() bool { return s.handled() > 0 })
			if round == 0 {
				s.signal(syscall.SIGTERM)
				if code := s.wait(); code != 0 {
					t.Fatalf("%s ended with code %d:\n%s", s.name, code, s.output)
				}
			}
		}
		place(10)
	}
	// An attempt fails, and the next one succeeds.
	retried := interrupted(t, at, func() string { return placeOrder(t, client, at, customers[0], "LOCKED", 1) })
	placed[retried] = true
	place(orders - len(placed))

	verified(t, dir, fmt.Sprintf("%d of %d", orders, orders), "--newest", fmt.Sprint(orders))
	expectRetry(t, client, at, dir, retried)
	client.CloseIdleConnections()
	stop(t, p, dir)
}

// everywhere makes n customers such that each partition of orders.v1 has its part of
// them: whichever partitions a consumer gets, some of their orders are its.
func everywhere(n int, add func() string) (customers []string) {
	partitions := int(schemas.Orders.Partitions)
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(schemas.TopicOrders)
	seen, more := map[int]bool{}, n-partitions // beyond the first of each partition
	for len(customers) < n {
		id := add()
		p := partitioner.Partition(&kgo.Record{Key: []byte(id)}, partitions)
		if seen[p] && more == 0 {
			continue
		}
		if seen[p] {
			more--
		}
		seen[p] = true
		customers = append(customers, id)
	}
	return customers
}

// consumer is a service beside the platform's own, in the same groups.
type consumer struct {
	*process
	name, url string
}

// second starts a service once more and returns when it has joined its group.
func second(t *testing.T, at platform.Running, name string) *consumer {
	t.Helper()
	c := &consumer{name: name, process: start(t, []string{
		"QUOKKA_KAFKA_BROKERS=" + at.KafkaText(), "QUOKKA_REGISTRY_URL=" + at.RegistryURL, "QUOKKA_POSTGRES_URL=" + at.PostgresURL,
		"QUOKKA_SMTP_ADDR=" + at.SMTP, "OTEL_EXPORTER_OTLP_ENDPOINT=" + at.OTLP, "QUOKKA_" + strings.ToUpper(name) + "_ADDR=127.0.0.1:0",
	}, name)}
	_, rest, _ := strings.Cut(printed(t, c.process, `"msg":"started"`, "\n"), `"addr":"`)
	addr, _, _ := strings.Cut(rest, `"`)
	c.url = "http://" + addr
	eventually(t, name+" joins its group", func() bool {
		select {
		case <-c.ended:
			t.Fatalf("%s ended:\n%s", name, c.output)
		default:
		}
		status, _ := fetch(t, c.url+"/readyz")
		return status == http.StatusOK
	})
	return c
}

var handledRecords = regexp.MustCompile(`quokka_consumer_records_total\{[^}]*outcome="handled",topic="orders.v1"\} (\d+)`)

// handled is how many orders' events the service has handled.
func (c *consumer) handled() (n int) {
	c.t.Helper()
	_, page := fetch(c.t, c.url+"/metrics")
	if m := handledRecords.FindStringSubmatch(page); m != nil {
		fmt.Sscan(m[1], &n)
	}
	return n
}

// fetch gets a page; 0 while nobody answers.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(data)
}

// interrupted holds a row that inventory needs for the order, ends the session
// that waits for it, and lets go.
func interrupted(t *testing.T, at platform.Running, place func() string) (order string) {
	t.Helper()
	ctx := t.Context()
	cfg, err := pgx.ParseConfig(at.PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = "quokka_inventory"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `select from stock where sku = 'LOCKED' for update`); err != nil {
		t.Fatal(err)
	}
	order = place()
	eventually(t, "inventory waits for the row", func() bool {
		var ended int
		err := tx.QueryRow(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = 'quokka_inventory' and wait_event_type = 'Lock' and pg_backend_pid() = any(pg_blocking_pids(pid))`).Scan(&ended)
		if err != nil {
			t.Fatal(err)
		}
		return ended > 0
	})
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	return order
}

// expectRetry looks for the failed attempt in the order's trace and for the one
// that is marked as its repetition.
func expectRetry(t *testing.T, client *http.Client, at platform.Running, dir, order string) {
	t.Helper()
	out := quokka(t, 0, "trace", order, "--data-dir", dir)
	id := out[strings.LastIndex(out, "/trace/")+len("/trace/"):][:32]
	trace, err := tracequery.Client{URL: at.TracesURL, HTTP: client}.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	failed, marked, byBroker := 0, 0, map[string]int{}
	for _, s := range trace.Spans {
		switch {
		case s.Service == "broker":
			byBroker[s.Name]++
		case s.Name != "process orders.v1" || s.Service != "inventory":
		case s.Tags["quokka.outcome"] == "retried":
			failed++
		case s.Tags["quokka.redelivered"] == "true" && len(s.Links) == 2:
			marked++
		}
	}
	asDocumented(t, trace)
	if failed == 0 || marked != 1 {
		t.Errorf("%d failed attempts and %d marked ones, want some and 1:\n%s", failed, marked, out)
	}
	for name, want := range map[string]int{
		"produce orders.v1": 2, "append orders.v1": 2, "fsync orders.v1": 2, "produce inventory.v1": 1, "append inventory.v1": 1, "fsync inventory.v1": 1,
	} {
		if byBroker[name] != want {
			t.Errorf("%d spans %s of the broker, want %d: %v", byBroker[name], name, want, byBroker)
		}
	}
}

// jaeger starts a Jaeger that keeps traces in memory and returns its addresses
// for OTLP and for queries.
func jaeger(t *testing.T, binary string) (otlp, query string) {
	t.Helper()
	receive, ask := freeAddr(t), freeAddr(t)
	const anyPort = "127.0.0.1:0"
	cmd := exec.CommandContext(t.Context(), binary,
		"--collector.otlp.http.host-port", receive, "--query.http-server.host-port", ask,
		"--collector.otlp.grpc.host-port", anyPort, "--collector.grpc-server.host-port", anyPort, "--collector.http-server.host-port", anyPort,
		"--query.grpc-server.host-port", anyPort, "--admin.http.host-port", anyPort)
	cmd.Env = append(os.Environ(), "SPAN_STORAGE_TYPE=memory")
	log := &transcript{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "Jaeger answers", func() bool {
		status, _ := fetch(t, "http://"+ask+"/api/services")
		accepting, _ := fetch(t, "http://"+receive+"/v1/traces")
		return status == http.StatusOK && accepting != 0
	})
	return "http://" + receive, "http://" + ask
}

// freeAddr is an address on which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}
