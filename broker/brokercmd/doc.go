// Package brokercmd is the command that runs a broker alone: cmd/broker is it, and
// so is a command of another program that wants one.
//
// A setting comes from a flag, else from the environment, else from the file that
// --config names, else it has its default. All of them know every setting by the
// name that it has in Apache Kafka, or that begins with "quokka.":
//
//	--override num.partitions=3                 a flag; the usual settings have flags of their own
//	QUOKKA_BROKER_NUM_PARTITIONS=3              the environment
//	num.partitions=3                            the file, in the form of Kafka's server.properties
//
// A name that is a slip of the pen is refused with the name that was meant; other
// names that nobody knows are reported and passed over, for there are files with
// settings for the plugins of other brokers.
//
// When its context ends, the command answers what it was asked, closes connections,
// and returns nil once everything is on the disk.
package brokercmd
