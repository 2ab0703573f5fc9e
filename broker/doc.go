// Package broker is a Kafka-protocol broker in one process: a server that any
// Kafka client can talk to, to embed in a program or to run by its command.
//
//	b, err := broker.Open(broker.Config{DataDir: "/var/lib/quokka", Listen: "127.0.0.1:9092"})
//	if err != nil {
//		return err
//	}
//	go b.Serve()
//	defer b.Close()
//
// # What it promises
//
// A produce request with acks=all is answered when its records are on the disk:
// one fdatasync serves everything that arrived while the one before it ran. What
// was acknowledged is there after a kill or a power cut, each record once where
// the producer is idempotent, in the order of its partition. Consumer groups,
// committed offsets, topics and settings come back likewise. Config.Flush trades
// the power cut away for speed; a kill loses nothing acknowledged under any policy.
//
// # How it is set up
//
// Config has a field for what most programs need, and Settings for everything by its
// name in Apache Kafka. Listeners may be several, each with its own security. Package
// brokercmd is the command around a broker: flags, environment, properties file,
// health, drain.
//
// # What is in it
//
// Frames and codecs are in internal/wire, connections in internal/server, request
// handlers in internal/api, one file per family; topics and settings in
// internal/cluster, groups in internal/group, driven by internal/coordinator on
// the topic __consumer_offsets; partitions in internal/partition on the logs of
// internal/commitlog, in Kafka's segment format. What clients may ask for is bounded
// by internal/quota and by limits that internal/limit names and counts.
package broker
