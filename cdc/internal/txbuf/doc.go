// Package txbuf puts transactions together from the messages of a logical
// replication stream. It is pure but for the files into which it spills.
//
// A transaction comes out when its commit has come in, never before: only then
// are its position (the commit's end) and its fate known. Until then its
// messages are kept as they came, in memory up to a limit shared by all
// transactions and beyond it in unnamed temporary files, largest first.
//
// Small transactions arrive whole, between Begin and Commit. Large ones are
// streamed before they end, in blocks of different transactions interleaved;
// each message then carries its subtransaction, and an aborted subtransaction
// takes its messages with it, whenever the abort arrives. One kind of message
// survives its subtransaction: a Relation, because the server counts it as sent
// to the whole transaction (and sends another if the abort changed the table).
package txbuf
