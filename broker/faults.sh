#!/usr/bin/env bash
# Cuts the power under the storage, in memory, and kills the broker under load; prints
# how often and during what. Everything is printed when something fails.
#   faults.sh            what make test runs: a minute or two
#   faults.sh long       what make crash runs: many more cuts, QUOKKA_KILLS kills (2,000)
# GO and RACE are as in the Makefile. A run is repeated with the seed that it prints.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT

run() { # go test's arguments
	"${GO:-go}" test -count=1 -v "$@" 2>&1 | tee "$out" | grep --line-buffered -E '(power cuts|kills): |kills, the|; the same kills|^ok'
	if [ "${PIPESTATUS[0]}" != 0 ]; then
		grep -vE '^=== |^ *--- PASS' "$out"
		exit 1
	fi
}

args=()
if [ "${1:-}" = long ]; then
	export QUOKKA_KILLS=${QUOKKA_KILLS:-2000}
	chains=${QUOKKA_CRASH_CHAINS:-2000}
	args=(-args -crash.seeds "$chains")
	echo "power cuts: $chains chains of them through partitions, then through everything below the handlers; some minutes each"
fi
run ${RACE:-} -timeout 2h -run '^TestPowerCuts' ./broker/internal/partition ./broker/internal/coordinator "${args[@]}"
run -timeout 12h -run '^TestKill$' ./broker/cmd/broker
