// Package coordinator runs the state machines of groups on the internal topics
// that keep them. Each partition of __consumer_offsets that is in use has a shard:
// one goroutine that owns the groups which hash to the partition.
//
// # A round
//
// A shard works in rounds. It takes the commands that have queued, lets each step
// its group, collects the records that the steps produce, appends them as one
// batch, and gives every command the append to wait for. State changes at once, in
// memory; what a caller is told waits until the high watermark has passed what it
// was told of. Reads wait likewise for the last append before them: nobody sees a
// commit that a power cut could still take back.
//
// # Loading, and starting over
//
// A shard is loaded from its partition's log before its first round. When an
// append fails, memory is ahead of the log: everyone who waits is answered
// COORDINATOR_NOT_AVAILABLE, the state is thrown away, and the log is read again.
package coordinator
