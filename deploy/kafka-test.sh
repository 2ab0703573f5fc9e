#!/bin/sh
# The contract tests of registry, outbox, cdc and services, and the demo, on
# Apache Kafka; then three nodes, of which one is killed during the demo.
set -eu
cd "$(dirname "$0")/.."
up=$(${GO:-go} run ./deploy/kafka/run up) # not into a pipe, whose exit code is that of its end
address=$(echo "$up" | tail -n 1)
case $address in
"not run: "*)
	echo "kafka-test: $address"
	exit 0
	;;
esac
trap '${GO:-go} run ./deploy/kafka/run down' EXIT
echo "kafka-test: Apache Kafka at $address"
QUOKKA_KAFKA_BROKERS=$address ${GO:-go} test -p 1 -count=1 -timeout 40m ./schemas/... ./outbox/... ./cdc/... ./services/...
${GO:-go} run ./deploy/kafka/run down
QUOKKA_APACHE_KAFKA=1 ${GO:-go} test -count=1 -timeout 1h -v ./deploy/e2e/apachekafka
