// Command brokerbench measures the broker beside others: a null broker that only
// receives and acknowledges (package null), franz-go's kfake, and Apache Kafka
// where Java and Maven are. It prints tables in Markdown, as docs/benchmarks.md
// has them.
//
// One client, franz-go, talks to all of them, over loopback, on the same cores.
// Each server is a process of its own. For every cell of the matrix (cells.go)
// the servers take turns, each round on a new topic, when what the round before has
// left to be written is on the disk, connections are made and every partition has a
// record; the first round is discarded. What is printed is the median of our figure
// and the median and range of the ratios ours ÷ theirs, round by round: a ratio is
// worth more than a figure on a machine that others use too. CPU time is the
// server's, user and system, for a gigabyte (10⁹ bytes of values).
//
//	make bench-broker                        at most 20 minutes
//	make bench-full                          more rounds and bytes, at most 2 hours
//	make bench-broker BENCH='-cells sync'    the cells whose names match
//
// What a change does: -before takes another build of this program, and its broker
// takes turns with ours; -profile writes CPU profiles of ours.
//
//	go build -o /tmp/before ./deploy/brokerbench    of the state before
//	make bench-broker BENCH='-before /tmp/before -servers null,kfake -cells ^os$ -mb 512 -profile /tmp -startup=false'
package main
