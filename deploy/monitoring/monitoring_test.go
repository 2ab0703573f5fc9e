package monitoring_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/deploy/monitoring"
)

// TestDashboardFiles: the files are what the code says.
func TestDashboardFiles(t *testing.T) {
	for _, d := range monitoring.Dashboards {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(monitoring.Dir(), d.File()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not as generated: make generate (%v)", d.File(), err)
		}
	}
	files, err := filepath.Glob(filepath.Join(monitoring.Dir(), "dashboards", "*"))
	if err != nil || len(files) != len(monitoring.Dashboards) {
		t.Errorf("dashboards/ has %d files, want %d: %v", len(files), len(monitoring.Dashboards), err)
	}
}

// TestExpressions: Prometheus can parse every query, and a panel's legend names
// labels that its query keeps.
func TestExpressions(t *testing.T) {
	all, err := monitoring.Expressions()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if _, _, err := monitoring.Parse(e.Text); err != nil {
			t.Errorf("%s: %v", e.Where, err)
		}
	}
	legend := regexp.MustCompile(`\{\{(\w+)\}\}`)
	for _, d := range monitoring.Dashboards {
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				for _, q := range p.Queries {
					_, groups, _ := monitoring.Parse(strings.ReplaceAll(q.Expr, "$__rate_interval", "1m"))
					for _, m := range legend.FindAllStringSubmatch(q.Legend, -1) {
						if strings.Contains(q.Expr, " by (") && !strings.Contains(" "+strings.Join(groups, " ")+" ", " "+m[1]+" ") {
							t.Errorf("%s, %s: the legend names %s, which %s drops", d.Title, p.Title, m[1], q.Expr)
						}
					}
				}
			}
		}
	}
}

// TestAlerts: every alert says how bad it is, what is wrong, and what to do.
func TestAlerts(t *testing.T) {
	rules, err := monitoring.Alerts()
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) == 0 {
		t.Fatal("no alerts")
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[r.Alert] = true
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q, want page or ticket", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || len(r.Annotations["runbook"]) < 40 {
			t.Errorf("%s: no summary, or a runbook that says too little", r.Alert)
		}
	}
}
