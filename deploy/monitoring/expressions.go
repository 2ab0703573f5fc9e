package monitoring

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// Dashboards are all of them.
var Dashboards = []Dashboard{OrderFlow, Kafka, OutboxCDC}

// Dir is the folder of this package's files.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// File is the dashboard's file in Dir.
func (d Dashboard) File() string {
	return filepath.Join("dashboards", strings.TrimPrefix(d.UID, "quokka-")+".json")
}

// Rule is one alert.
type Rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Alerts reads alerts.yaml; a field that rules do not have is an error.
func Alerts() ([]Rule, error) {
	text, err := os.ReadFile(filepath.Join(Dir(), "alerts.yaml"))
	if err != nil {
		return nil, err
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []Rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return nil, fmt.Errorf("alerts.yaml: %w", err)
	}
	var out []Rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	return out, nil
}

// Expression is a query and where it stands.
type Expression struct{ Where, Text string }

// Expressions are all queries of the dashboards and alerts.
func Expressions() ([]Expression, error) {
	var out []Expression
	for _, d := range Dashboards {
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				for _, q := range p.Queries {
					out = append(out, Expression{d.Title + ", " + p.Title, strings.ReplaceAll(q.Expr, rate, "1m")})
				}
			}
		}
	}
	rules, err := Alerts()
	for _, r := range rules {
		out = append(out, Expression{"alert " + r.Alert, r.Expr})
	}
	return out, err
}

// Selector is what an expression asks of one metric.
type Selector struct {
	Metric string
	// Matchers choose series by their labels, the name apart.
	Matchers []*labels.Matcher
}

// Parse returns what an expression asks for, and the labels it groups by.
func Parse(text string) (selectors []Selector, groups []string, err error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return nil, nil, err
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			s := Selector{Metric: n.Name}
			for _, m := range n.LabelMatchers {
				if m.Name != model.MetricNameLabel {
					s.Matchers = append(s.Matchers, m)
				}
			}
			selectors = append(selectors, s)
		case *parser.AggregateExpr:
			if !n.Without {
				groups = append(groups, n.Grouping...)
			}
		}
		return nil
	})
	slices.Sort(groups)
	return selectors, slices.Compact(groups), nil
}
