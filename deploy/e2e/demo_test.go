package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/deploy/report"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// demo runs the demo in a data directory and returns its report.
func demo(t *testing.T, dir string, args ...string) (report.Report, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	out := quokka(t, 0, append([]string{"demo", "--data-dir", dir, "--report", file}, args...)...)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r, out
}

// checkReport: what the plan says must happen has happened, and nothing else.
func checkReport(t *testing.T, r report.Report, seed uint64, orders int) {
	t.Helper()
	plan := workload.NewPlan(seed, orders)
	want := plan.Expect()
	if r.OrdersPlaced != orders || r.OrdersConfirmed != want.Confirmed || r.OrdersRejected != want.Rejected || r.OrdersCancelled != want.Cancelled {
		t.Errorf("%d placed, %d confirmed, %d rejected, %d cancelled; the plan says %d: %+v",
			r.OrdersPlaced, r.OrdersConfirmed, r.OrdersRejected, r.OrdersCancelled, orders, want)
	}
	if r.LostOrders != 0 || r.DuplicateEffects != 0 || r.OrderInversions != 0 || !r.StockConserved || r.MailRedeliveries != 0 {
		t.Errorf("verdict: %+v", r)
	}
	// Each order has at least two events, and each event its mail.
	if r.EmailsSent < 2*orders || r.EmailsSent > 3*orders {
		t.Errorf("%d mails for %d orders", r.EmailsSent, orders)
	}
	if r.ProductsIndexed != len(plan.Products) || r.LogLinesIndexed == 0 {
		t.Errorf("%d products and %d log lines indexed, want %d and some", r.ProductsIndexed, r.LogLinesIndexed, len(plan.Products))
	}
	if r.Seconds <= 0 || r.OrdersPerSecond <= 0 || r.SettleP50ms <= 0 || r.SettleP99ms < r.SettleP50ms {
		t.Errorf("times: %+v", r)
	}
}

// TestDemo: 200 orders settle, and a second run on the same data directory does
// the same with what the first one left.
func TestDemo(t *testing.T) {
	dir := dataDir(t)
	r, out := demo(t, dir)
	checkReport(t, r, 1, 200)
	const line = "✓ lost 0 · duplicate effects 0 · order inversions 0 · stock conserved"
	for _, want := range []string{line, "200 placed and settled", "by partition", "one for each event", fmt.Sprintf("spans of %d services", len(roster.Services()))} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in the output:\n%s", want, out)
		}
	}
	if strings.ContainsAny(out, "\x1b\r") {
		t.Error("control characters in output that is no terminal")
	}
	ready := regexp.MustCompile(`ready +([0-9.]+ s)`).FindStringSubmatch(out)
	if ready == nil {
		t.Fatalf("no start time in:\n%s", out)
	}
	t.Logf("ready after %s", ready[1]) // less than 3 s on an idle machine
	nobodyLeft(t, dir)

	again, _ := demo(t, dir, "--orders", "60", "--seed", "2")
	checkReport(t, again, 2, 60)
	nobodyLeft(t, dir)
}

// TestDemoLeavesNothing: without --data-dir everything goes at the end.
func TestDemoLeavesNothing(t *testing.T) {
	tmp := reachable(t)
	p := start(t, []string{"TMPDIR=" + tmp}, "demo", "--orders", "5")
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.output)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// endless is so many orders that no demo places them all before it is told to end.
const endless = 50_000

// TestInterruptedDemo: Ctrl-C in the middle ends it, soon and whole.
func TestInterruptedDemo(t *testing.T) {
	dir := dataDir(t)
	p := start(t, nil, "demo", "--data-dir", dir, "--orders", fmt.Sprint(endless))
	awaitAccepted(t, p, dir, 20)
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 130 || !strings.Contains(p.output.String(), "interrupted") {
		t.Errorf("exit code %d, want 130:\n%s", code, p.output)
	}
	nobodyLeft(t, dir)
}

// TestFailedDemo: a demo that cannot go on says why and leaves nobody behind.
func TestFailedDemo(t *testing.T) {
	dir := dataDir(t)
	out := quokka(t, 1, "demo", "--data-dir", dir, "--orders", "5", "--report", filepath.Join(dir, "no", "such", "place"))
	if !strings.Contains(out, "write the report") {
		t.Errorf("got:\n%s", out)
	}
	nobodyLeft(t, dir)
}

// awaitAccepted waits until so many orders are accepted. By the time that we see
// the last of all orders, the demo may be over.
func awaitAccepted(t *testing.T, p *process, dir string, orders int) {
	t.Helper()
	eventually(t, "orders are accepted", func() bool {
		over := false
		select {
		case <-p.ended:
			over = true
		default:
		}
		if _, accepted, err := ledger.Read(dir); err == nil && len(accepted) >= orders {
			return true
		}
		if over {
			t.Fatalf("the demo ended:\n%s", p.output)
		}
		return false
	})
}

// TestDemoWhosePostgresDies: a part that ends by itself is named, and everything
// else ends too.
func TestDemoWhosePostgresDies(t *testing.T) {
	dir := dataDir(t)
	p := start(t, nil, "demo", "--data-dir", dir, "--orders", fmt.Sprint(endless))
	awaitAccepted(t, p, dir, 20)
	data, err := os.ReadFile(filepath.Join(dir, "postgres", "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 1 || !strings.Contains(p.output.String(), "quokka: PostgreSQL: ended by itself") || !strings.Contains(p.output.String(), "the log is in") {
		t.Errorf("exit code %d:\n%s", code, p.output)
	}
	nobodyLeft(t, dir)
}
