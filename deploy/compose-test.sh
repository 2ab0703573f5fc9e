#!/bin/sh
# Brings the default stack up under docker compose, waits for demo's 200 orders
# and its verdict, checks again, and takes everything down. Arguments are further
# options of `docker compose`, such as -f deploy/compose.yaml -f deploy/compose.kafka.yaml.
set -eu
cd "$(dirname "$0")/.."
if ! docker compose version >/dev/null 2>&1 || ! docker info >/dev/null 2>&1; then
	echo "compose-test: not run (no Docker engine with the compose plugin answers)"
	exit 0
fi
[ $# -gt 0 ] || set -- -f compose.yaml
compose() { docker compose --project-name quokka-test "$@"; }
trap 'compose "$@" down --volumes --timeout 20 >/dev/null 2>&1' EXIT
compose "$@" build
begin=$(date +%s)
compose "$@" up --detach
docker wait quokka-test-demo-1 >/dev/null
compose "$@" logs --no-log-prefix demo
code=$(docker inspect --format '{{.State.ExitCode}}' quokka-test-demo-1)
[ "$code" = 0 ] || { echo "compose-test: demo ended with $code"; exit 1; }
compose "$@" run --rm --no-deps demo verify --traces --data-dir /var/lib/quokka
docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' $(compose "$@" ps --quiet)
echo "compose-test: passed in $(($(date +%s) - begin)) s"
