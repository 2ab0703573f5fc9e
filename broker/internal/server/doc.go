// Package server accepts connections and runs them: frames in, answers out, in
// order.
//
// A connection has a reader goroutine, which reads a request, has it handled up to
// where the next may start, and goes on. Most replies are ready then, and the
// reader writes them itself. A Produce that waits for the disk is given to the
// connection's writer goroutine, started with the first such request; the reader
// goes on with the next request, as long as no more than maxQueued answers are
// waiting. Every answer goes out behind those before it. A connection whose client is
// over a quota is not read until its time is over. Parts of files in it are sent
// by the kernel, where the connection is plain TCP and the system is Linux.
package server
