// Package checker decides whether a platform kept its promises, from what
// happened: records on the topics, rows in the databases, mails that arrived,
// documents in the index. It asks no counter of the code it checks, and shares
// no code with it: the states of an order are written down here a second time.
//
// Check is a pure function of Facts; package collect gathers them.
//
// The terms:
//
//   - lost: an accepted order not settled, or missing on orders.v1, or an event
//     without its mail, or a dead-lettered event. An order is settled when it is
//     confirmed, rejected or cancelled, inventory's row agrees, and no group lags.
//   - duplicate effect: more than one order per Idempotency-Key, movement per
//     (order, sku, kind), terminal event, or two Message-IDs for one event.
//   - order inversion: a version falling within an order, or an inbox sequence
//     against the offsets within a key.
//   - stock conserved: for each sku the sum of its movements = the stock row =
//     initial + restock − live reservations folded from the topics.
//
// Beside them stands the index, a view that can be rebuilt: a document that
// does not say what its row says is reported as stale.
package checker
