// Package workload is the demo's customers: it fills a catalogue, makes
// customers and places orders over HTTP, as a shop's front end would.
//
// A Plan is drawn from a seed and says everything in advance: who orders what,
// which orders cannot be fulfilled, which are cancelled and when, which requests
// are sent twice, which products get a new name meanwhile. The same seed gives
// the same plan, and, since no order's fate is left to a race, the same outcome.
// Run carries a plan out and notes in a ledger what it sent and what was
// accepted.
package workload
