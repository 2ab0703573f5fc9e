package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas"
)

// TestBadInput: whatever is thrown at a running platform gets a clear answer,
// and what is well-formed beside it settles.
func TestBadInput(t *testing.T) {
	dir := dataDir(t)
	p, at := up(t, dir)
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	customer := field(t, post(t, client, at.OrderURL+"/customers", map[string]any{"name": "Ada", "email": "ada@example.test"}, http.StatusCreated), "customer_id")
	put(t, client, at.InventoryURL+"/products/E2E-1", map[string]any{"name": "Lamp", "description": "", "price_cents": 100, "currency": "EUR", "initial_stock": 5})

	line := []map[string]any{{"sku": "E2E-1", "quantity": 1}}
	for _, bad := range []struct {
		name   string
		body   map[string]any
		status int
		code   string
		says   string
	}{
		{"unknown field", map[string]any{"customer_id": customer, "lines": line, "discount": 1}, 400, "", "discount"},
		{"negative quantity", map[string]any{"customer_id": customer, "lines": []map[string]any{{"sku": "E2E-1", "quantity": -1}}}, 422, "invalid_order", "quantity"},
		{"unknown customer", map[string]any{"customer_id": "01a20ab2-c591-7d8b-8d33-835418fd037c", "lines": line}, 422, "unknown_customer", "customer"},
		{"no lines", map[string]any{"customer_id": customer}, 422, "invalid_order", "lines"},
		{"quantity as text", map[string]any{"customer_id": customer, "lines": []map[string]any{{"sku": "E2E-1", "quantity": "1"}}}, 400, "", "quantity"},
	} {
		problem := post(t, client, at.OrderURL+"/orders", bad.body, bad.status)
		if text := mustJSON(t, problem); problem["code"] == "" || bad.code != "" && problem["code"] != bad.code || !strings.Contains(text, bad.says) {
			t.Errorf("%s: %s", bad.name, text)
		}
	}

	garbageOnBrokerPort(t, at.Kafka[0])
	// Records that are no events: not Avro, and Avro that ends too early.
	produce(t, at,
		&kgo.Record{Topic: schemas.TopicOrders, Key: []byte(customer), Value: []byte("not avro")},
		&kgo.Record{Topic: schemas.TopicOrders, Key: []byte(customer), Value: []byte{0, 0, 0, 0, 1, 2}},
	)
	order := placeOrder(t, client, at, customer, "E2E-1", 2)

	// The two are given up by each of the topic's groups, and named; nothing
	// else is wrong.
	out := quokka(t, 1, "verify", "--data-dir", dir)
	lost := fmt.Sprintf("✗ lost %d · duplicate effects 0 · order inversions 0 · stock conserved", 2*len(schemas.Orders.Groups))
	if !strings.Contains(out, lost) {
		t.Errorf("verify printed:\n%s", out)
	}
	for _, group := range schemas.Orders.Groups {
		if n := strings.Count(out, "dead-lettered to orders.v1."+group+".dlq"); n != 2 {
			t.Errorf("%d dead letters of %s, want 2:\n%s", n, group, out)
		}
	}
	if got := field(t, get(t, client, at.OrderURL+"/orders/"+order), "status"); got != "confirmed" {
		t.Errorf("the order behind the bad records is %s", got)
	}
	stop(t, p, dir)
}

// garbageOnBrokerPort: bad bytes cost their sender the connection, nobody else anything.
func garbageOnBrokerPort(t *testing.T, addr string) {
	t.Helper()
	noise := make([]byte, 64<<10)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	huge := []byte{0x7f, 0xff, 0xff, 0xff}
	negative := []byte{0x80, 0, 0, 0}
	for name, garbage := range map[string][]byte{
		"noise": noise, "HTTP": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "a frame of 2 GB": huge, "a frame of negative size": negative,
		"an unknown API": append([]byte{0, 0, 0, 10}, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"half a header":  {0, 0, 0, 3, 0, 18, 0},
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(garbage) // it may be closed on us already
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(&bytes.Buffer{}, conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the broker keeps the connection: %v", name, err)
		}
		conn.Close()
	}
}
