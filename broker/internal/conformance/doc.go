// Package conformance holds no code, only tests: what clients rely on, asked of a
// running broker in raw requests, version by version.
package conformance
