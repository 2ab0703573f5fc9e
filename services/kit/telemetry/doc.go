// Package telemetry gives a service its traces, metrics and logs.
//
// Nothing in it is global: several services share one process in `quokka up` and
// each appears under its own name. Tracer, logger and metric registry are made by
// New and passed on.
//
// One order is one trace. The outbox stores the trace context of the transaction
// that emitted an event; the relay opens `send <topic>` as its child and sends that
// span's context on; a consumer opens `process <topic>` as the child of, and linked
// to, the send context (StartProcess). Names and attributes follow OpenTelemetry's
// messaging conventions, version 1.44.
package telemetry
