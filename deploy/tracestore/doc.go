// Package tracestore keeps the last traces in memory and answers for them as
// Jaeger does: a platform without a tracing backend hands a Store to its
// telemetry as span exporter, and who would ask Jaeger asks the Store.
//
// It serves Jaeger's query API (/api/services, /api/operations, /api/traces,
// /api/traces/{id}, /api/v3/traces/{id}) and, under the path of Jaeger's own
// page, /trace/{id}, the waterfall of one trace. Services in processes of their own
// send it their spans by OTLP/HTTP, to /v1/traces. What is checked against the
// Store, by a test or a command, is checked the same way against a Jaeger.
//
// The oldest trace goes when a new one needs its place; a trace that grows
// without end loses its last spans and says so. A trace of an order takes about
// ten kilobytes.
package tracestore
