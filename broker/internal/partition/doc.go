// Package partition is one partition as its leader sees it: a log with a leader
// epoch, a high watermark and a last stable offset, appends that answer when they
// are durable, reads that never show more than that, and waiters.
package partition
