// Package kafka runs Apache Kafka on this machine, without Docker and without
// a download of its own: Maven fetches the server's jars as it fetches any
// library, and Java runs them. It is for the contract tests and the demo on
// Apache Kafka, for comparisons, and to see replication at work.
//
// A cluster has one node, or three that keep everything three times
// (min.insync.replicas 2); each node is broker and controller. All listen on
// loopback. The nodes are processes of their own that outlive the program that
// started them; what is known of them is in the cluster's directory:
//
//	.quokka/kafka/classpath       the jars, as Maven resolved them
//	.quokka/kafka/3/node-1/       server.properties, data, server.log, pid
//
// The command is run (make kafka-up, make kafka-down):
//
//	go run ./deploy/kafka/run up | down | kill NODE | start NODE | isr
package kafka
