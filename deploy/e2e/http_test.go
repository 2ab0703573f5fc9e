package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/quokka-stream/quokka/deploy/platform"
)

// send makes a request and returns the JSON object of the answer.
func send(t *testing.T, client *http.Client, method, url string, body any, want int) map[string]any {
	t.Helper()
	var encoded bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&encoded).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, &encoded)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want && (want != 0 || resp.StatusCode >= 300) {
		t.Fatalf("%s %s: %s, want %d: %s", method, url, resp.Status, want, answer)
	}
	out := map[string]any{}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, url, err, answer)
		}
	}
	return out
}

func get(t *testing.T, client *http.Client, url string) map[string]any {
	t.Helper()
	return send(t, client, http.MethodGet, url, nil, http.StatusOK)
}

func post(t *testing.T, client *http.Client, url string, body any, want int) map[string]any {
	t.Helper()
	return send(t, client, http.MethodPost, url, body, want)
}

func put(t *testing.T, client *http.Client, url string, body any) {
	t.Helper()
	send(t, client, http.MethodPut, url, body, 0)
}

// field returns a text of an answer.
func field(t *testing.T, answer map[string]any, name string) string {
	t.Helper()
	text, ok := answer[name].(string)
	if !ok {
		t.Fatalf("no text %s in %v", name, answer)
	}
	return text
}

// placeOrder orders one line and returns the order's id.
func placeOrder(t *testing.T, client *http.Client, at platform.Running, customer, sku string, quantity int) string {
	t.Helper()
	body := map[string]any{"customer_id": customer, "lines": []map[string]any{{"sku": sku, "quantity": quantity}}}
	return field(t, post(t, client, at.OrderURL+"/orders", body, http.StatusAccepted), "order_id")
}
