// Package pgoutput decodes the messages of PostgreSQL's logical replication
// output plugin pgoutput, protocol version 2, with streaming of large
// transactions and with logical decoding messages. It is pure: bytes in, values
// out, no connection, no state between messages.
//
// Rules of the protocol that callers must keep:
//
//   - Messages that belong to a transaction which is streamed before its end
//     (between Stream Start and Stream Stop) carry the id of the subtransaction
//     they belong to. Nothing in the message itself tells, so Decode is told.
//   - A row's position in the log is neither unique nor rising; the order of
//     changes is that of the commits and, within a transaction, of arrival.
//   - Relation messages describe the relation for the messages that follow, in
//     the transaction they arrive in and, once that has committed, in later ones.
//
// Decoded values refer to the input's bytes: copy what outlives them.
package pgoutput
