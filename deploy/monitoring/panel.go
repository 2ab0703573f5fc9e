package monitoring

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Dashboard is one page of panels.
type Dashboard struct {
	// UID is its address in Grafana and the name of its file.
	UID, Title string
	Rows       []Row
}

// Row is a row of panels that share its width.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel shows one or more queries over time, or as one number.
type Panel struct {
	Title string
	// Why says what the reader should see in it.
	Why string
	// Unit is Grafana's name of the unit: short, s, bytes, reqps, percentunit.
	Unit string
	// Number shows the last value instead of a curve.
	Number  bool
	Queries []Query
}

// Query is a PromQL expression; Legend names its series by their labels.
type Query struct{ Expr, Legend string }

// SourceUID is the data source that the panels ask, by its identifier in Grafana.
const SourceUID = "prometheus"

// rate is the window of rates in panels: four scrapes at least, as Grafana
// works it out.
const rate = "$__rate_interval"

const (
	gridWidth    = 24
	panelHeight  = 8
	numberHeight = 4
)

// JSON is the dashboard as Grafana imports it.
func (d Dashboard) JSON() ([]byte, error) {
	type object = map[string]any
	source := object{"type": "prometheus", "uid": SourceUID}
	var panels []object
	id, y := 0, 0
	for _, row := range d.Rows {
		id++
		panels = append(panels, object{
			"id": id, "type": "row", "title": row.Title, "collapsed": false, "panels": []object{},
			"gridPos": object{"h": 1, "w": gridWidth, "x": 0, "y": y},
		})
		y++
		height := panelHeight
		if row.numbers() {
			height = numberHeight
		}
		width := gridWidth / len(row.Panels)
		for i, p := range row.Panels {
			id++
			var targets []object
			for j, q := range p.Queries {
				targets = append(targets, object{
					"refId": string(rune('A' + j)), "expr": q.Expr, "legendFormat": q.Legend, "datasource": source,
					"exemplar": !p.Number,
				})
			}
			panel := object{
				"id": id, "type": "timeseries", "title": p.Title, "description": p.Why, "datasource": source, "targets": targets,
				"gridPos":     object{"h": height, "w": width, "x": i * width, "y": y},
				"fieldConfig": object{"defaults": object{"unit": p.Unit, "min": 0}, "overrides": []object{}},
				"options":     object{"tooltip": object{"mode": "multi", "sort": "desc"}, "legend": object{"displayMode": "list", "placement": "bottom"}},
			}
			if p.Number {
				panel["type"] = "stat"
				panel["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "colorMode": "none", "graphMode": "area"}
			}
			panels = append(panels, panel)
		}
		y += height
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(object{
		"uid": d.UID, "title": d.Title, "tags": []string{"quokka"}, "schemaVersion": 39, "editable": true, "refresh": "5s",
		"time": object{"from": "now-15m", "to": "now"}, "timezone": "browser", "panels": panels,
		"graphTooltip": 1, // one crosshair over all panels
	})
	if err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.UID, err)
	}
	return out.Bytes(), nil
}

// numbers reports whether a row has only numbers, which need less height.
func (r Row) numbers() bool {
	for _, p := range r.Panels {
		if !p.Number {
			return false
		}
	}
	return true
}

// quantiles are queries for the median and the 99th percentile of a histogram,
// by the given labels.
func quantiles(histogram, by, legend string) []Query {
	group := "le"
	if by != "" {
		group += ", " + by
	}
	var out []Query
	for _, q := range []string{"0.5", "0.99"} {
		out = append(out, Query{
			fmt.Sprintf("histogram_quantile(%s, sum by (%s) (rate(%s[%s])))", q, group, histogram, rate),
			"p" + map[string]string{"0.5": "50", "0.99": "99"}[q] + " " + legend,
		})
	}
	return out
}
