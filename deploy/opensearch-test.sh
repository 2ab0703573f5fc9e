#!/bin/sh
# The contract tests of search-sync on OpenSearch, then the demo on it, also with
# OpenSearch and the platform killed meanwhile.
set -eu
cd "$(dirname "$0")/.."
up=$(${GO:-go} run ./deploy/opensearch/run up) # not into a pipe, whose exit code is that of its end
address=$(echo "$up" | tail -n 1)
case $address in
"not run: "*)
	echo "opensearch-test: $address"
	exit 0
	;;
esac
trap '${GO:-go} run ./deploy/opensearch/run down' EXIT
echo "opensearch-test: OpenSearch at $address"
QUOKKA_SEARCH_URL=$address ${GO:-go} test -count=1 -timeout 40m ./services/searchsync
${GO:-go} run ./deploy/opensearch/run down
QUOKKA_OPENSEARCH=1 ${GO:-go} test -count=1 -timeout 1h -v -run OpenSearch ./deploy/e2e
