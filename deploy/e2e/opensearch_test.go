package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/javaserver"
	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/deploy/opensearch"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/schemas"
)

const verdictLine = "✓ lost 0 · duplicate effects 0 · order inversions 0 · stock conserved"

// startOpenSearch starts a server for this test.
func startOpenSearch(t *testing.T) *opensearch.Server {
	t.Helper()
	if os.Getenv("QUOKKA_OPENSEARCH") == "" {
		t.Skip("not run: QUOKKA_OPENSEARCH is not set (make opensearch-test)")
	}
	s, err := opensearch.Open(t.Context(), opensearch.Config{Dir: filepath.Join(reachable(t), "opensearch")})
	if javaserver.IsNotRun(err) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Nobody waits for a clean end here.
	t.Cleanup(func() { _ = s.Kill(context.Background()) })
	if err := s.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// documents counts what OpenSearch itself says that it holds of a kind.
func documents(t *testing.T, s *opensearch.Server, kind string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/quokka-"+kind+"/_count",
		strings.NewReader(`{"query":{"bool":{"must_not":{"term":{"quokka.deleted":true}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0 // it was killed, or there is none yet
	}
	defer resp.Body.Close()
	var answer struct{ Count int }
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.Count
}

// TestOpenSearchDemo: the demo on OpenSearch is the demo; a second one needs
// --reset, for its orders are another installation's.
func TestOpenSearchDemo(t *testing.T) {
	s := startOpenSearch(t)
	dir := dataDir(t)
	r, _ := demo(t, dir, "--search", s.URL(), "--orders", "100")
	checkReport(t, r, 1, 100)
	if n := documents(t, s, "products"); n != r.ProductsIndexed {
		t.Errorf("OpenSearch holds %d products, the report says %d", n, r.ProductsIndexed)
	}
	if n := documents(t, s, "orders"); n != 100 {
		t.Errorf("OpenSearch holds %d orders", n)
	}
	other := dataDir(t)
	out := quokka(t, 1, "demo", "--data-dir", other, "--search", s.URL(), "--orders", "10")
	if !strings.Contains(out, "OpenSearch at "+s.URL()+" belongs to installation") || !strings.Contains(out, "--reset") {
		t.Errorf("another installation:\n%s", out)
	}
	r, _ = demo(t, dataDir(t), "--search", s.URL(), "--orders", "10", "--reset")
	checkReport(t, r, 1, 10)
	if n := documents(t, s, "orders"); n != 10 {
		t.Errorf("OpenSearch holds %d orders after --reset", n)
	}
}

// TestOpenSearchAdopted: an installation that had an embedded index gets an
// OpenSearch, and everything that happened before is in it.
func TestOpenSearchAdopted(t *testing.T) {
	s := startOpenSearch(t)
	dir := dataDir(t)
	demo(t, dir, "--orders", "20")
	p, _ := up(t, dir, "--search", s.URL())
	if out := quokka(t, 0, "verify", "--data-dir", dir, "--wait", "4m"); !strings.Contains(out, verdictLine) {
		t.Errorf("verify printed:\n%s", out)
	}
	if n := documents(t, s, "orders"); n != 20 {
		t.Errorf("OpenSearch holds %d orders", n)
	}
	stop(t, p, dir)
}

// TestOpenSearchKilled: kill -9 of OpenSearch while orders are placed. The
// platform waits for it, and nothing is missing in the end.
func TestOpenSearchKilled(t *testing.T) {
	s := startOpenSearch(t)
	dir := dataDir(t)
	running, at := up(t, dir, "--search", s.URL())
	load := place(t, at, dir, "--orders", "400", "--rate", "20")
	eventually(t, "some orders are in the index", func() bool { return documents(t, s, "orders") >= 5 })
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, accepted, err := ledger.Read(dir); err == nil {
		t.Logf("OpenSearch was killed after %d orders were accepted", len(accepted))
	}
	if err := s.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	settled(t, s, load, dir, 400)
	stop(t, running, dir)
}

// TestSearchSyncKilledOnOpenSearch: a second search-sync shares the work, and is
// killed in the middle of it. The index says in the end what the tables say.
func TestSearchSyncKilledOnOpenSearch(t *testing.T) {
	s := startOpenSearch(t)
	dir := dataDir(t)
	running, at := up(t, dir, "--search", s.URL())
	second := start(t, []string{
		"QUOKKA_KAFKA_BROKERS=" + at.KafkaText(), "QUOKKA_REGISTRY_URL=" + at.RegistryURL,
		"QUOKKA_SEARCH_URL=" + s.URL(), "QUOKKA_SEARCH_SYNC_ADDR=127.0.0.1:0", "QUOKKA_SHIP_LOGS=false",
	}, "search-sync")
	eventually(t, "the second one has its share", func() bool { return members(t, at.Kafka) == 2 })
	load := place(t, at, dir, "--orders", "300", "--rate", "20")
	eventually(t, "some orders are in the index", func() bool { return documents(t, s, "orders") >= 20 })
	second.signal(syscall.SIGKILL)
	<-second.ended
	settled(t, s, load, dir, 300)
	stop(t, running, dir)
}

// place starts placing orders on a platform.
func place(t *testing.T, at platform.Running, dir string, args ...string) *process {
	t.Helper()
	return start(t, []string{"QUOKKA_ORDER_URL=" + at.OrderURL, "QUOKKA_INVENTORY_URL=" + at.InventoryURL}, append([]string{"load", "--data-dir", dir}, args...)...)
}

// settled waits until all orders are placed, and checks that every promise was
// kept and OpenSearch holds them all.
func settled(t *testing.T, s *opensearch.Server, load *process, dir string, orders int) {
	t.Helper()
	if code := load.wait(); code != 0 {
		t.Fatalf("load: exit code %d:\n%s", code, load.output)
	}
	if out := quokka(t, 0, "verify", "--data-dir", dir, "--wait", "4m"); !strings.Contains(out, verdictLine) {
		t.Errorf("verify printed:\n%s", out)
	}
	if n := documents(t, s, "orders"); n != orders {
		t.Errorf("OpenSearch holds %d orders, want %d", n, orders)
	}
}

// members counts the members of search-sync's group, 0 while it rebalances.
func members(t *testing.T, brokers []string) int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	groups, err := kadm.NewClient(client).DescribeGroups(t.Context(), schemas.GroupSearchSync)
	if err != nil {
		t.Fatal(err)
	}
	group := groups[schemas.GroupSearchSync]
	if group.State != "Stable" {
		return 0
	}
	return len(group.Members)
}
