// Package outbox is a transactional outbox on PostgreSQL: events are written in the
// transaction that changes the business data, and a relay publishes them to Kafka,
// each at least once, those of one key in the order in which they were written.
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		// 1. Lock the key: here, the customer's row.
//		if _, err := tx.Exec(ctx, "SELECT FROM customers WHERE id = $1 FOR UPDATE", customer); err != nil {
//			return err
//		}
//		// 2. Change data.
//		// 3. Say what happened.
//		return outbox.Write(ctx, tx, outbox.Event{Topic: "orders.v1", Key: key, Value: payload})
//	})
//	relay.Hint()
//
// Migrate makes the tables. A Relay, in the same process or another, does the rest.
//
// # What the writer must do
//
// The order of one key holds under three conditions:
//
//   - Transactions that write events of the same key exclude each other by a lock
//     (a row's, or an advisory one), taken before Write and held to commit. Without
//     it the database does not order them, so nothing can.
//   - Write comes after the lock. The event's number is drawn by Write; drawn
//     before the lock, it says who came first to the counter, not to the lock.
//   - The sequence outbox.event_seq keeps CACHE 1. The relay refuses anything else.
//
// And transactions commit synchronously (PostgreSQL's default): otherwise an event
// may be published whose transaction a crash of the server then loses.
//
// Value is published as it is. Encode and check it before Write: what fails there
// fails the transaction and its caller knows. What fails at publication stops the
// outbox.
//
// # What consumers get
//
// Every event of every committed transaction at least once, none of one that was
// rolled back. After a fault the events that were on their way are sent again, in
// the same order and with the same headers; put the event's ID into a header (such
// as ce_id) and keep the ids of what was handled. Per key, the first arrivals are
// in order.
//
// # How it reads
//
// The usual ways to read an outbox lose events or invert two of one key. A cursor
// on the id loses what commits late. A cursor on the transaction number, gated by
// the oldest running transaction, orders by who got a number first, and an inbox
// row written before the lock is enough to make that wrong. Several relays with
// SKIP LOCKED overtake each other. The tests run all of them on the same writes and
// see each fail.
//
// This relay reads by snapshot difference, as PgQ does since 2007: it remembers the
// snapshot up to which everything is published, takes a new one, and publishes, in
// the order of numbers, what the new one shows and the old one did not. A long
// transaction delays its own events only.
//
// Rows are never updated or deleted: two tables take turns, and the one that rests
// is emptied by TRUNCATE once every row in it is published and nobody who wrote to
// it is still running. The lock for that is never waited for, so it blocks nobody.
// A transaction that wrote events and stays open keeps its table from being
// emptied for as long.
//
// # What happens when it crashes
//
//	before commit                      nothing is published
//	after commit, before it is read    published by the next poll, or the next relay
//	some of a batch acknowledged       the batch is sent again
//	all acknowledged, not stored       the batch is sent again
//	stored, table not emptied          nothing is sent again; emptied later
//	while the table is emptied         as before it, or as after it
//
// Events that may be sent twice are known beforehand: their send spans carry the
// attribute quokka.redelivered, and outbox_redelivered_total counts them.
//
// # One relay at a time
//
// A relay works while its session holds an advisory lock; others stand by and ask
// for it. The lock ends with the session, and a relay whose session is gone stops
// its producer. One gap remains until the producer is fenced by a transactional id:
// a relay that was paused (SIGSTOP, a suspended machine) may, when it wakes, have
// requests under way that its successor has already repeated. They are repetitions
// of earlier events, in order among themselves, and consumers that know ids drop
// them.
//
// # When Kafka refuses an event
//
// The relay never gives an event up and never steps over one. Unavailable brokers
// and missing topics are waited for. An event that cannot be published (too large,
// not authorised, refused by a schema check) is tried again and again, with an
// error in the log and in outbox_errors_total, and everything behind it waits.
// What the producer's own limits refuse is found before anything behind it is
// sent. Where the broker refuses a single batch, events of the same batch of rows
// that go to other record batches may already be published; they are not sent
// again, and of the key concerned they have then overtaken it.
//
// # The database moved
//
// Snapshots count in the transaction numbers of one PostgreSQL cluster. Its
// identifier is stored with them, and a relay that finds another one stops with a
// *ClusterChangedError; Adopt takes the outbox over.
package outbox
