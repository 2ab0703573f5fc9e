package main

import (
	"github.com/quokka-stream/quokka/deploy/javaserver"
	"github.com/quokka-stream/quokka/deploy/kafka"
)

// suites are all there are, in the order they run in, with the versions they are
// fetched in.
var suites = []suite{
	{"kgo", "v1.22.2", franzGo("kgo", 0)},
	{"kgo-chaos", "v1.22.2", franzGo("kgo-chaos", 100_000, "KGO_TEST_CHAOS=1")},
	{"kgo-tls", "v1.22.2", franzTLS},
	{"kgo-scram", "v1.22.2", franzSCRAM},
	{"kafka-go", "v0.4.51", kafkaGo},
	{"sarama", "v1.61.1", sarama},
	{"kcat", "", kcat},
	{"librdkafka", "v2.15.0", librdkafka},
	{"librdkafka-tests", "2.8.0-1", rdkafkaTests},
	{"confluent-kafka-python", "2.16.1", python("confluent-kafka")},
	{"kafka-python", "3.0.12", python("kafka-python")},
	{"aiokafka", "0.14.0", python("aiokafka")},
	{"kafkajs", "2.2.4", node("kafkajs")},
	{"platformatic-kafka", "1.35.0", node("@platformatic/kafka")},
	{"java", kafka.Version(), java},
	{"kafka-streams", javaserver.Property(streamsPom, "kafka.version"), streams},
}
