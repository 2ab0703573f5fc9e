package composed

import (
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"github.com/quokka-stream/quokka/deploy/monitoring"
)

// scraped is what Prometheus would know of a running stack.
type scraped struct {
	// labels are the values that each label of each metric has.
	labels   map[string]map[string]map[string]bool
	families map[string]*family
}

// family is what is exposed under one name; a histogram is one family.
type family struct {
	help, typ string
	labels    map[string]bool // without those of the target
}

// scrape asks every target of the scrape configuration, as Prometheus does.
func scrape(t *testing.T, e *engine) scraped {
	t.Helper()
	s := scraped{map[string]map[string]map[string]bool{}, map[string]*family{}}
	for _, file := range []string{"prometheus.yaml", "scrape-kafka.yaml"} {
		text, err := os.ReadFile(filepath.Join(monitoring.Dir(), file))
		if err != nil {
			t.Fatal(err)
		}
		var cfg struct {
			Scrape []struct {
				Job    string `yaml:"job_name"`
				Static []struct {
					Targets []string          `yaml:"targets"`
					Labels  map[string]string `yaml:"labels"`
				} `yaml:"static_configs"`
			} `yaml:"scrape_configs"`
		}
		if err := yaml.Unmarshal(text, &cfg); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, job := range cfg.Scrape {
			for _, static := range job.Static {
				target := map[string]string{"job": job.Job, "instance": static.Targets[0]}
				maps.Copy(target, static.Labels)
				s.add("up", target)
				for name, f := range e.metrics(static.Targets[0]) {
					for _, m := range f.Metric {
						s.addFamily(name, f, m, target)
					}
				}
			}
		}
	}
	return s
}

// metrics asks one address of the project for its metrics.
func (e *engine) metrics(address string) map[string]*dto.MetricFamily {
	e.t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(e.page(address, "text/plain")))
	if err != nil {
		e.t.Fatalf("%s: %v", address, err)
	}
	return families
}

// page asks one address of the project for its metrics in a format.
func (e *engine) page(address, format string) string {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.translate(e.project.Services["demo"], "http://"+address+"/metrics"), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Accept", format)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatalf("%s: %v", address, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatalf("%s: %v", address, err)
	}
	return string(text)
}

func (s scraped) addFamily(name string, f *dto.MetricFamily, m *dto.Metric, target map[string]string) {
	all := maps.Clone(target)
	known := s.families[name]
	if known == nil {
		known = &family{f.GetHelp(), strings.ToLower(f.GetType().String()), map[string]bool{}}
		s.families[name] = known
	}
	for _, l := range m.Label {
		all[l.GetName()] = l.GetValue()
		known.labels[l.GetName()] = true
	}
	if f.GetType() == dto.MetricType_HISTOGRAM {
		s.add(name+"_sum", all)
		s.add(name+"_count", all)
		name, all["le"] = name+"_bucket", "+Inf"
	}
	s.add(name, all)
}

func (s scraped) add(name string, all map[string]string) {
	if s.labels[name] == nil {
		s.labels[name] = map[string]map[string]bool{}
	}
	for label, value := range all {
		if s.labels[name][label] == nil {
			s.labels[name][label] = map[string]bool{}
		}
		s.labels[name][label][value] = true
	}
}

// checkMetrics: every metric that a dashboard or an alert asks for is there,
// with the labels it asks for. What counts faults may not be there in a run
// without any: then it is as documented. But where an alert asks for the increase
// of a counter it must be there before the first fault, which is no increase
// otherwise.
func checkMetrics(t *testing.T, s scraped, docs map[string]row) {
	t.Helper()
	expressions, err := monitoring.Expressions()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range expressions {
		selectors, groups, err := monitoring.Parse(e.Text)
		if err != nil {
			t.Errorf("%s: %v", e.Where, err)
			continue
		}
		known := map[string]bool{}
		strict := strings.HasPrefix(e.Where, "alert ") && strings.Contains(e.Text, "increase(")
		for _, sel := range selectors {
			have := s.labels[sel.Metric]
			if have == nil && !strict {
				have = docs[sel.Metric].asExposed()
			}
			if have == nil {
				t.Errorf("%s: nobody has the metric %s", e.Where, sel.Metric)
			}
			for label := range have {
				known[label] = true
			}
			for _, m := range sel.Matchers {
				s.checkMatcher(t, e.Where, sel.Metric, have, m, strict)
			}
		}
		for _, g := range groups {
			if !known[g] {
				t.Errorf("%s: no metric of %s has the label %s, only %v", e.Where, e.Text, g, slices.Sorted(maps.Keys(known)))
			}
		}
	}
}

// words splits a pattern of plain alternatives, such as confirmed|rejected.
var words = regexp.MustCompile(`^[a-z_A-Z]+(\|[a-z_A-Z]+)*$`)

// checkMatcher: the label is there, and the values asked for are; unless strict,
// those that the metric's help names will do: not all of them occur in a run
// without faults.
func (s scraped) checkMatcher(t *testing.T, where, metric string, have map[string]map[string]bool, m *labels.Matcher, strict bool) {
	t.Helper()
	values, ok := have[m.Name]
	if !ok {
		t.Errorf("%s: %s has no label %s", where, metric, m.Name)
		return
	}
	if !words.MatchString(m.Value) {
		return
	}
	help := ""
	if f := s.families[metric]; f != nil && !strict {
		help = f.help
	}
	for value := range strings.SplitSeq(m.Value, "|") {
		if !values[value] && !strings.Contains(help, value) {
			t.Errorf("%s: %s never has %s=%q: it has %v", where, metric, m.Name, value, slices.Sorted(maps.Keys(values)))
		}
	}
}
