package e2e

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/ledger"
)

// killPoints is how many times the platform is killed.
const killPoints = 6

// TestKilledInTheMiddle: kill -9 of everything at a random moment, then up on
// the same data directory: every accepted order settles and verify passes. The
// processes that were started end with the killed one.
func TestKilledInTheMiddle(t *testing.T) {
	const orders = 300
	for i := range killPoints {
		seed := rand.Uint64() //nolint:gosec // any will do; a failure names it
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // see above
			after, delay := 1+r.IntN(orders), time.Duration(r.IntN(300))*time.Millisecond
			t.Logf("seed %d: kill %s after %d of %d orders were accepted", seed, delay, after, orders)

			dir := dataDir(t)
			p := start(t, nil, "demo", "--data-dir", dir, "--orders", strconv.Itoa(orders), "--seed", strconv.FormatUint(seed, 10), "--keep")
			awaitAccepted(t, p, dir, after)
			time.Sleep(delay) // part of the kill point
			p.signal(syscall.SIGKILL)
			<-p.ended
			nobodyLeft(t, dir)
			_, accepted, err := ledger.Read(dir)
			if err != nil {
				t.Fatal(err)
			}

			second, _ := up(t, dir)
			out := quokka(t, 0, "verify", "--data-dir", dir, "--wait", "4m")
			if !strings.Contains(out, "✓ lost 0 · duplicate effects 0 · order inversions 0 · stock conserved") {
				t.Errorf("verify printed:\n%s", out)
			}
			distinct := map[string]bool{}
			for _, a := range accepted {
				distinct[a.OrderID] = true
			}
			found := regexp.MustCompile(`([0-9,]+) orders`).FindStringSubmatch(out)
			if found == nil {
				t.Fatalf("verify printed:\n%s", out)
			}
			if n, err := strconv.Atoi(strings.ReplaceAll(found[1], ",", "")); err != nil || n < len(distinct) {
				t.Errorf("%s orders on the platform (%v), %d were accepted", found[1], err, len(distinct))
			}
			stop(t, second, dir)
			if i == killPoints-1 {
				// And business goes on.
				report, _ := demo(t, dir, "--orders", "40", "--seed", "7")
				if report.OrdersPlaced != 40 || report.LostOrders != 0 {
					t.Errorf("a demo after it all: %+v", report)
				}
			}
		})
	}
}
