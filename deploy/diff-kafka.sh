#!/bin/sh
# The broker's answers beside those of a real Apache Kafka, field by field, for
# the written scenarios and more generated ones than make test has golden files
# for. Arguments go to the test: -rewrite writes the golden files anew.
set -eu
cd "$(dirname "$0")/.."
up=$(${GO:-go} run ./deploy/kafka/run up) # not into a pipe, whose exit code is that of its end
address=$(echo "$up" | tail -n 1)
case $address in
"not run: "*)
	echo "diff-kafka: $address"
	exit 0
	;;
esac
trap '${GO:-go} run ./deploy/kafka/run down' EXIT
echo "diff-kafka: Apache Kafka at $address"
QUOKKA_DIFF_KAFKA=$address ${GO:-go} test -count=1 -timeout 15m ./broker/internal/diff "$@"
