package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// documented is a row of the table of spans in docs/tracing.md.
type documented struct {
	name, kind string
	attributes []string
	seen       bool
}

func documentedSpans(t *testing.T) []*documented {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "tracing.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `([^`]+)`[^|]* \\| (server|client|producer|consumer|internal) \\|[^|]*\\|([^|]*)\\|")
	quoted := regexp.MustCompile("`([^`]+)`")
	var out []*documented
	for line := range strings.Lines(string(text)) {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		d := &documented{name: m[1], kind: m[2]}
		for _, a := range quoted.FindAllStringSubmatch(m[3], -1) {
			d.attributes = append(d.attributes, a[1])
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		t.Fatal("docs/tracing.md has no table of spans")
	}
	return out
}

// asDocumented compares an order's spans with the table: each span has its row,
// each row its spans, and what a span is said to have always, it has.
func asDocumented(t *testing.T, trace tracequery.Trace) {
	t.Helper()
	table := documentedSpans(t)
	for _, s := range trace.Spans {
		name := tracequery.Work(s)
		if verb, topic, _ := strings.Cut(name, " "); topic != "" && topic == s.Tags["messaging.destination.name"] || verb == "append" || verb == "fsync" {
			name = verb + " <topic>"
		}
		var row *documented
		for _, d := range table {
			if d.name == name && d.kind == s.Kind {
				row = d
			}
		}
		if row == nil {
			t.Errorf("%s: %s of kind %s is not in docs/tracing.md", s.Service, s.Name, s.Kind)
			continue
		}
		row.seen = true
		for _, a := range row.attributes {
			if s.Tags[a] == "" {
				t.Errorf("%s: %s lacks %s, which docs/tracing.md says it has", s.Service, s.Name, a)
			}
		}
	}
	for _, d := range table {
		if !d.seen {
			t.Errorf("docs/tracing.md has %s of kind %s, the trace has none", d.name, d.kind)
		}
	}
}
