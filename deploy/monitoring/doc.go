// Package monitoring is what an operator looks at: Grafana dashboards, written
// here as Go and generated into dashboards/, and Prometheus alert rules in
// alerts.yaml, each with a line that says what to do.
//
// Every query is parsed as Prometheus parses it; that each metric and label in
// it exists is tested against a running platform (package deploy/e2e/composed).
package monitoring
