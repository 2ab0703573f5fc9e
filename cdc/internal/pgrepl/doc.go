// Package pgrepl is the input and output of logical replication: a connection
// in replication mode, slots, and the stream of a slot. It knows the replication
// protocol around pgoutput's messages but not the messages themselves.
//
// A connection that streams is used by two goroutines: one receives, another
// sends status. The server ends a connection that sends no status for
// wal_sender_timeout (one minute by default), however busy its reader is, so
// sending must never wait for receiving.
package pgrepl
