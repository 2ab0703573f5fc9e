package composed

import (
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/compose"
)

// TestComposeUp: what the compose file starts becomes healthy, places its
// orders, finds nothing lost, fits in its memory, answers consoles, has the metrics of the documentation,
// the dashboards and the alerts, and ends when told to.
func TestComposeUp(t *testing.T) {
	project, err := compose.Load(t.Context(), []string{compose.MainFile}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, project)
	begin := time.Now()
	e.up()
	t.Logf("everything is healthy after %.1f s", time.Since(begin).Seconds())
	if code := e.await("demo"); code != 0 {
		t.Fatalf("demo ended with %d:\n%s", code, e.running["demo"].output)
	}
	out := e.running["demo"].output.String()
	for _, want := range []string{"200 of 200 orders placed", "lost 0 · duplicate effects 0 · order inversions 0 · stock conserved"} {
		if !strings.Contains(out, want) {
			t.Errorf("demo did not say %q:\n%s", want, out)
		}
	}
	for name, c := range e.running {
		if used, limit := c.anonymous(), int64(project.Services[name].MemLimit); used > 0 {
			t.Logf("%-12s %3d of %3d MiB", name, used>>20, limit>>20)
			if used > limit {
				t.Errorf("%s uses %d MiB, its container has %d", name, used>>20, limit>>20)
			}
		}
	}
	checkConsole(t, e)
	docs, metrics := documented(t), scrape(t, e)
	checkDocumented(t, metrics, docs)
	checkMetrics(t, metrics, docs)
	examples := exemplars(t, e, "order:8101", "inventory:8102", "notification:8103", "search-sync:8104")
	// The same again, as after `docker compose restart setup`: nothing changes.
	e.start("setup")
	if code := e.await("setup"); code != 0 {
		t.Errorf("setup ended with %d the second time:\n%s", code, e.running["setup"].output)
	}
	e.down()
	checkExemplars(t, examples, e.traces) // the last spans are sent at the end
}
