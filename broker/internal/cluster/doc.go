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
// One broker has one log. A cluster of brokers replaces the Log by one that a
// quorum agrees on, and keeps the rest.
package cluster
