package tracestore

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

//go:embed trace.html
var traceHTML string

//go:embed index.html
var indexHTML string

//go:embed style.css
var styleCSS string

var pages = template.Must(template.Must(template.New("trace").Parse(traceHTML)).New("index").Parse(indexHTML))

// row is one span as the waterfall shows it.
type row struct {
	Span       Span
	Depth      int
	Orphan     bool // its parent is not in the trace
	Hue        int  // of the service
	Bar        template.CSS
	Indent     template.CSS
	After      string // since the trace began
	Took       string
	LabelLeft  bool   // no room to the right of the bar
	Statement  string // of a database call, shortened
	Attributes []jaegerTag
	Events     []string
	Links      []string
}

type service struct {
	Name  string
	Hue   int
	Spans int
}

func (s *Store) getPage(w http.ResponseWriter, r *http.Request) {
	t, ok := s.lookup(w, r)
	if !ok {
		return
	}
	begin, end := t.bounds()
	rows, services := waterfall(t)
	failed := 0
	for _, row := range rows {
		if row.Span.Failed() {
			failed++
		}
	}
	var ticks []string
	for i := range 4 {
		ticks = append(ticks, short(end.Sub(begin)*time.Duration(i)/4))
	}
	render(w, "trace", map[string]any{
		"ID": t.ID.String(), "Title": t.root().Name, "Begin": begin.Format("2006-01-02 15:04:05.000"), "Took": short(end.Sub(begin)),
		"Rows": rows, "Services": services, "Ticks": ticks, "Dropped": t.Dropped, "Failed": failed,
	})
}

// waterfall orders the spans as a tree, children under their parent by start
// time; a span whose parent is missing stands at the top and says so.
func waterfall(t Trace) ([]row, []service) {
	begin, end := t.bounds()
	whole := max(end.Sub(begin), time.Microsecond)
	children, present := map[trace.SpanID][]Span{}, map[trace.SpanID]bool{}
	for _, s := range t.Spans {
		present[s.ID] = true
	}
	var tops []Span
	for _, s := range t.Spans {
		if s.Parent.IsValid() && present[s.Parent] && s.Parent != s.ID {
			children[s.Parent] = append(children[s.Parent], s)
		} else {
			tops = append(tops, s)
		}
	}
	var (
		rows     []row
		services []service
		place    func(s Span, depth int)
	)
	hueOf := func(name string) int {
		i := slices.IndexFunc(services, func(s service) bool { return s.Name == name })
		if i < 0 {
			// The golden angle keeps neighbouring services apart.
			i = len(services)
			services = append(services, service{Name: name, Hue: (210 + i*137) % 360})
		}
		services[i].Spans++
		return services[i].Hue
	}
	place = func(s Span, depth int) {
		left := 100 * float64(s.Start.Sub(begin)) / float64(whole)
		width := 100 * float64(s.Duration()) / float64(whole)
		r := row{
			Span: s, Depth: depth, Orphan: s.Parent.IsValid() && !present[s.Parent], Hue: hueOf(s.Service),
			Bar:    template.CSS(fmt.Sprintf("left:%.3f%%;width:%.3f%%", left, width)),   //nolint:gosec // numbers only
			Indent: template.CSS(fmt.Sprintf("padding-left:%.1frem", float64(depth)*.9)), //nolint:gosec // numbers only
			After:  short(s.Start.Sub(begin)), Took: short(s.Duration()), LabelLeft: left+width > 85,
			Attributes: jaegerTags(s.Attributes), Statement: statement(s),
		}
		for _, e := range s.Events {
			r.Events = append(r.Events, short(e.Time.Sub(begin))+" "+e.Name+attributesText(e.Attributes))
		}
		for _, l := range s.Links {
			r.Links = append(r.Links, l.SpanContext.TraceID().String()+" / "+l.SpanContext.SpanID().String())
		}
		rows = append(rows, r)
		for _, child := range children[s.ID] {
			place(child, depth+1)
		}
	}
	for _, s := range tops {
		place(s, 0)
	}
	return rows, services
}

// statement is the beginning of a database call's statement, on one line.
func statement(s Span) string {
	const most = 70
	for _, kv := range s.Attributes {
		if kv.Key == "db.query.text" || kv.Key == "db.statement" {
			text := []rune(strings.Join(strings.Fields(kv.Value.AsString()), " "))
			if len(text) > most {
				return string(text[:most]) + "…"
			}
			return string(text)
		}
	}
	return ""
}

func attributesText(attrs []attribute.KeyValue) string {
	var out string
	for _, kv := range attrs {
		out += " " + string(kv.Key) + "=" + kv.Value.String()
	}
	return out
}

// short prints a duration with three digits at most and its unit.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + short(-d)
	case d == 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

// getIndex lists the newest traces, of one service if the query names it.
func (s *Store) getIndex(w http.ResponseWriter, r *http.Request) {
	type line struct {
		ID, Begin, Root, Service, Took string
		Spans, Services, Failed        int
	}
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.URL.Query().Get("limit") == "" {
		q.limit = 100
	}
	var lines []line
	for _, t := range s.find(q) {
		begin, end := t.bounds()
		root, names, failed := t.root(), map[string]bool{}, 0
		for _, span := range t.Spans {
			names[span.Service] = true
			if span.Failed() {
				failed++
			}
		}
		lines = append(lines, line{
			ID: t.ID.String(), Begin: begin.Format("15:04:05.000"), Root: root.Name, Service: root.Service, Took: short(end.Sub(begin)),
			Spans: len(t.Spans), Services: len(names), Failed: failed,
		})
	}
	render(w, "index", map[string]any{"Lines": lines, "Kept": s.Len(), "Names": s.services(), "Service": q.service})
}

func render(w http.ResponseWriter, name string, data map[string]any) {
	data["Style"] = template.CSS(styleCSS) //nolint:gosec // embedded at build time
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	_, _ = page.WriteTo(w)
}
