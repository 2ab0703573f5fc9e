package searchsync_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/opensearch-project/opensearch-go/v4"
	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/searchsync"
)

func TestMain(m *testing.M) {
	// bleve keeps a pool of analysis workers per process.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/blevesearch/bleve_index_api.AnalysisWorker"))
}

var products = debezium.Table{
	Topic: schemas.TopicCDCProducts,
	Key:   []string{"sku"},
	Columns: []debezium.Column{
		{Name: "sku", Type: debezium.Type{Kind: debezium.Text}},
		{Name: "name", Type: debezium.Type{Kind: debezium.Text}, Nullable: true},
		{Name: "price_cents", Type: debezium.Type{Kind: debezium.Int8}, Nullable: true},
	},
}

// TestIndexFollowsTopics: the index converges to the topics, across a restart
// and a rewind to the start.
func TestIndexFollowsTopics(t *testing.T) {
	t.Run("bleve", func(t *testing.T) {
		testFollows(t, searchsync.Config{IndexDir: filepath.Join(t.TempDir(), "index")})
	})
	t.Run("OpenSearch", func(t *testing.T) {
		address := os.Getenv("QUOKKA_SEARCH_URL")
		if address == "" {
			t.Skip("not run: QUOKKA_SEARCH_URL names no OpenSearch (make opensearch-test starts one)")
		}
		prefix := "test-" + strings.ToLower(rand.Text()) + "-"
		t.Cleanup(func() { dropIndexes(t, address, prefix) })
		testFollows(t, searchsync.Config{SearchURL: address, IndexPrefix: prefix})
	})
}

func dropIndexes(t *testing.T, address, prefix string) {
	client, err := opensearchapi.NewClient(opensearchapi.Config{Client: opensearch.Config{Addresses: []string{address}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Client.Close()
	for _, kind := range searchsync.Kinds {
		name := prefix + string(kind)
		_, err := client.Indices.Delete(context.Background(), opensearchapi.IndicesDeleteReq{Indices: []string{name}})
		_, err2 := client.IndexTemplate.Delete(context.Background(), opensearchapi.IndexTemplateDeleteReq{IndexTemplate: name})
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
		}
	}
}

func testFollows(t *testing.T, cfg searchsync.Config) {
	platform := kittest.NewPlatform(t)
	cfg.Config = platform.Config
	run := func() *kittest.Running {
		t.Helper()
		cfg.Listener = kittest.Listener(t)
		service, err := searchsync.New(t.Context(), cfg, kittest.Telemetry(t, telemetry.Config{Service: searchsync.Name}))
		if err != nil {
			t.Fatal(err)
		}
		return kittest.Run(t, service)
	}
	running := run()
	client := kittest.Client(t, cfg.KafkaBrokers)
	changes := kittest.NewChanges(t, platform, products)
	find := func(query string) searchsync.Result {
		t.Helper()
		var found searchsync.Result
		a := running.Do("GET", "/search/"+query, nil)
		if a.Status != 200 {
			t.Fatalf("GET /search/%s: %d %s", query, a.Status, a.Body)
		}
		a.Into(t, &found)
		return found
	}
	finds := func(query string, n uint64) {
		t.Helper()
		kittest.Eventually(t, query, func() bool { return find(query).Total == n })
	}

	row := func(sku, name string) map[string]any {
		return map[string]any{"sku": sku, "name": name, "price_cents": int64(100)}
	}
	changes.Write(1, 0, debezium.Read, row("SKU-1", "Copper kettle"))
	changes.Write(5, 1, debezium.Update, row("SKU-1", "Steel kettle"))
	changes.Write(4, 1, debezium.Update, row("SKU-1", "Tin kettle"))
	changes.Write(6, 1, debezium.Create, row("SKU-2", "Teapot"))
	changes.Write(7, 1, debezium.Delete, row("SKU-2", "Teapot"))
	changes.Write(8, 1, debezium.Create, row("SKU-3", "Last cup"))
	finds("products?q=cup", 1)
	finds("products?q=steel", 1)
	finds("products?q=tin", 0)
	finds("products", 2)

	order, customer := uuid.NewString(), uuid.NewString()
	publish := func(e events.Event) {
		t.Helper()
		platform.Publish(t, client, schemas.TopicOrders, customer, uuid.NewString(), e)
	}
	publish(&events.OrderPlaced{OrderID: order, CustomerID: customer, Version: 1, OccurredAt: time.Now(), Lines: []events.OrderLine{{SKU: "SKU-1", Quantity: 2}}})
	publish(&events.OrderConfirmed{OrderID: order, CustomerID: customer, Version: 2, OccurredAt: time.Now()})
	finds("orders?q=status:confirmed", 1)
	var doc searchsync.Hit
	running.Do("GET", "/documents/orders/"+order, nil).Into(t, &doc)
	if doc.Fields["customer_id"] != customer || doc.Fields["quantity"] != float64(2) {
		t.Errorf("order document %+v", doc.Fields)
	}

	platform.Publish(t, client, schemas.TopicLogs, "", uuid.NewString(), &events.LogLine{Time: time.Now(), Level: "INFO", Service: "order", Message: "the quick brown fox"})
	finds("logs?q=fox", 1)

	if err := running.Stop(); err != nil {
		t.Fatal(err)
	}
	changes.Write(9, 1, debezium.Update, row("SKU-3", "Chipped cup"))
	running = run()
	finds("products?q=chipped", 1)
	finds("orders?q=status:confirmed", 1)

	for path, status := range map[string]int{
		"/search/unicorns":            404,
		"/documents/products/unknown": 404,
		"/search/products?limit=-1":   422,
		`/search/products?q=%22open`:  422,
	} {
		if a := running.Do("GET", path, nil); a.Status != status || a.Code() == "" {
			t.Errorf("GET %s: %d %s, want a problem with status %d", path, a.Status, a.Body, status)
		}
	}
}

// TestWaitsForOpenSearch: search-sync that starts before its OpenSearch says so,
// waits, and goes on by itself.
func TestWaitsForOpenSearch(t *testing.T) {
	platform := kittest.NewPlatform(t)
	address := kittest.Unused(t)
	cfg := searchsync.Config{Config: platform.Config, SearchURL: "http://" + address, Listener: kittest.Listener(t)}
	service, err := searchsync.New(t.Context(), cfg, kittest.Telemetry(t, telemetry.Config{Service: searchsync.Name}))
	if err != nil {
		t.Fatal(err)
	}
	running := kittest.Run(t, service)
	ready := func() (int, string) {
		a := running.Do("GET", "/readyz", nil)
		return a.Status, string(a.Body)
	}
	if status, body := ready(); status != 503 || !strings.Contains(body, "no proper answer from the search engine") {
		t.Errorf("/readyz: %d %s, want it to wait for the index", status, body)
	}
	if a := running.Do("GET", "/search/products", nil); a.Status != 503 || a.Code() != "unavailable" {
		t.Errorf("a search meanwhile: %d %s", a.Status, a.Body)
	}

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{ //nolint:gosec // a test's
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"acknowledged":true}`) }),
	}}
	server.Start()
	defer server.Close()
	kittest.Eventually(t, "it is ready", func() bool { status, _ := ready(); return status == 200 })
}
