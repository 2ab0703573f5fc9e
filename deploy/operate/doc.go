// Package operate is what an operator does with a Kafka cluster that the
// platform runs on: list its topics and groups, say how far each group is
// behind, read and write records, move a group's offsets, and bring dead
// letters back to the group that gave them up.
//
// It uses nothing but the public protocols, so it works on any Kafka and any
// Confluent-compatible registry. What a cluster does not tell, such as sizes
// without the right to ask for them, is left out and does not stop the rest.
//
// The work on what was read is in functions without I/O (assemble, merger,
// Letters); what asks the cluster is a method of Client.
package operate
