// Package coordinator runs the state machines of groups and of transactions on the
// internal topics that keep them. Each partition of __consumer_offsets and of
// __transaction_state that is in use has a shard: one goroutine that owns the groups, or
// the transactional ids, which hash to the partition.
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
// COORDINATOR_NOT_AVAILABLE, the state is thrown away, and the log is read again. A shard
// lives until Close: the one broker coordinates every partition for as long as it runs.
//
// # Transactions
//
// The log of a transactional id has its producer's id and epoch, the partitions of the
// open transaction, and its decision. A batch is staged only while its partition is in the
// open transaction as those who write see it (Txns.Write); a decision is published before
// its markers are written, so that they come behind every batch. EndTxn is answered when
// the decision is durable. The markers of all partitions are staged together and waited
// for together; when they are durable the log says so. A decision found without that at a
// start is completed then.
//
// What a partition has open when it is opened is held against the log: where logs lose
// their ends, each by itself, a transaction can be left over (leftover.go).
package coordinator
