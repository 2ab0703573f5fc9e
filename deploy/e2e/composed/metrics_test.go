package composed

import (
	"io/fs"
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

	"github.com/quokka-stream/quokka/deploy/compose"
	"github.com/quokka-stream/quokka/deploy/monitoring"
)

// scraped is what Prometheus would know of a running stack.
type scraped struct {
	// labels are the values that each label of each metric has.
	labels map[string]map[string]map[string]bool
	help   map[string]string
}

// scrape asks every target of the scrape configuration, as Prometheus does.
func scrape(t *testing.T, e *engine) scraped {
	t.Helper()
	s := scraped{map[string]map[string]map[string]bool{}, map[string]string{}}
	for _, file := range []string{"prometheus.yaml", "scrape-broker.yaml"} {
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
				for name, family := range e.metrics(static.Targets[0]) {
					s.help[name] = family.GetHelp()
					for _, m := range family.Metric {
						s.addFamily(name, family.GetType(), m, target)
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
	resp, err := http.Get(e.translate(e.project.Services["demo"], "http://"+address+"/metrics"))
	if err != nil {
		e.t.Fatalf("%s: %v", address, err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		e.t.Fatalf("%s: %v", address, err)
	}
	return families
}

func (s scraped) addFamily(name string, typ dto.MetricType, m *dto.Metric, target map[string]string) {
	all := maps.Clone(target)
	for _, l := range m.Label {
		all[l.GetName()] = l.GetValue()
	}
	if typ == dto.MetricType_HISTOGRAM {
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
// with the labels it asks for.
func checkMetrics(t *testing.T, s scraped) {
	t.Helper()
	expressions, err := monitoring.Expressions()
	if err != nil {
		t.Fatal(err)
	}
	code := names(t)
	for _, e := range expressions {
		selectors, groups, err := monitoring.Parse(e.Text)
		if err != nil {
			t.Errorf("%s: %v", e.Where, err)
			continue
		}
		known := map[string]bool{}
		complete := true
		for _, sel := range selectors {
			have, ok := s.labels[sel.Metric]
			if !ok {
				// What counts faults may not be there yet.
				if complete = false; !code[sel.Metric] {
					t.Errorf("%s: nobody has the metric %s", e.Where, sel.Metric)
				}
				continue
			}
			for label := range have {
				known[label] = true
			}
			for _, m := range sel.Matchers {
				s.checkMatcher(t, e.Where, sel.Metric, m)
			}
		}
		for _, g := range groups {
			if complete && !known[g] {
				t.Errorf("%s: no metric of %s has the label %s, only %v", e.Where, e.Text, g, slices.Sorted(maps.Keys(known)))
			}
		}
	}
}

// words splits a pattern of plain alternatives, such as confirmed|rejected.
var words = regexp.MustCompile(`^[a-z_A-Z]+(\|[a-z_A-Z]+)*$`)

// checkMatcher: the label is there, and the values asked for are, or are those
// that the metric's help names: not all of them occur in a run without faults.
func (s scraped) checkMatcher(t *testing.T, where, metric string, m *labels.Matcher) {
	t.Helper()
	values, ok := s.labels[metric][m.Name]
	if !ok {
		t.Errorf("%s: %s has no label %s", where, metric, m.Name)
		return
	}
	if !words.MatchString(m.Value) {
		return
	}
	for value := range strings.SplitSeq(m.Value, "|") {
		if !values[value] && !strings.Contains(s.help[metric], value) {
			t.Errorf("%s: %s never has %s=%q: it has %v", where, metric, m.Name, value, slices.Sorted(maps.Keys(values)))
		}
	}
}

// names are the names of metrics in the code, as it registers them.
func names(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	literal := regexp.MustCompile(`Name: +"([a-z_]+)"|"((?:quokka|outbox)_[a-z_]+)"`)
	err := filepath.WalkDir(compose.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range literal.FindAllStringSubmatch(string(text), -1) {
			found[m[1]+m[2]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
