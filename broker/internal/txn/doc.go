// Package txn is the state of transactions: for each transactional id the producer
// that may use it, its epoch, and the transaction that is open. It is a pure state
// machine: it has no I/O, no clock and no goroutine. A caller steps it, passing the
// time, makes durable what a step changed, and then acts on it.
//
// # The life of a transactional id
//
//	Empty ── add ──▶ Ongoing ── end ──▶ PrepareCommit ── markers written ──▶ CompleteCommit
//	  ▲                │      └───────▶ PrepareAbort  ── markers written ──▶ CompleteAbort
//	  │                │ timeout, or a new producer            │
//	  │                └──────▶ PrepareAbort, epoch raised     │ add ──▶ Ongoing
//	  └───────────────────────────── init ─────────────────────┘
//
// Prepare is the decision. Once it is durable the transaction has ended, whatever
// happens: a coordinator that finds it in its log writes the markers again.
//
// # Versions
//
// Clients of version 2 (KIP-890) get a new epoch with every end of a transaction:
// the markers carry it, so that a partition refuses whatever of the old epoch is
// still on its way. Version 1 keeps the epoch, and relies on the check that a
// partition is in the transaction before it takes a batch.
//
// # Invariants
//
//   - The epoch of a producer id never falls. Where it would pass its last value
//     the producer gets a new id, and epoch 0.
//   - In Ongoing nothing but the current producer and epoch adds to the transaction.
//   - From Prepare only the matching Complete follows.
package txn
