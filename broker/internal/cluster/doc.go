// Package cluster is the metadata that every handler reads: topics with their
// partitions and settings, the broker's dynamic settings, producer id blocks,
// leader epochs.
//
// It is an Image: immutable, behind an atomic pointer, read without a lock. It
// changes by commands only. Propose applies a command to the current image, makes
// the command durable in a Log, and publishes the new image, in that order; so an
// image is never ahead of what a restart would find. The image is the fold of the
// commands; a log grown long is replaced by the commands that make the image anew.
//
// One broker has one Log, a file (clusterlog). Replication puts another behind the same
// two methods: Append returns once a quorum has the records and the leader has them
// committed, or fails for good where it lost its leadership, whereupon Cluster is opened
// anew from what the quorum has; Replace installs a snapshot. What followers receive is
// folded as Open folds it. Commands, image and all who read it stay as they are.
package cluster
