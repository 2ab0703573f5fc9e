#!/usr/bin/env bash
# Cuts the power under the storage, in memory, and kills the broker under load; prints
# how often and during what. Everything is printed when something fails.
#   faults.sh            what make test runs: a minute or two
#   faults.sh long       what make crash runs: many more cuts, QUOKKA_KILLS kills (2,000)
# GO and RACE are as in the Makefile. Cuts and kills are chosen by QUOKKA_CRASH_SEED. A
# long run without one makes one up, make test's cuts are the same each time; what was
# chosen is printed with how to choose it again.
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

chains=()
first=${QUOKKA_CRASH_SEED:-1}
if [ "${1:-}" = long ]; then
	export QUOKKA_KILLS=${QUOKKA_KILLS:-2000}
	first=${QUOKKA_CRASH_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
	n=${QUOKKA_CRASH_CHAINS:-2000}
	chains=(-crash.seeds "$n")
	export QUOKKA_CRASH_SEED=$first
	echo "seed $first; the same choices again: QUOKKA_CRASH_SEED=$first QUOKKA_CRASH_CHAINS=$n QUOKKA_KILLS=$QUOKKA_KILLS make crash"
	echo "power cuts: $n chains of them through partitions, then through everything below the handlers; some minutes each"
fi
echo "power cuts: the first chain has seed $first; a chain N alone: go test -run '^TestPowerCuts$' ./broker/internal/partition -args -crash.seed N, likewise coordinator"
run ${RACE:-} -timeout 2h -run '^TestPowerCuts' ./broker/internal/partition ./broker/internal/coordinator -args -crash.first "$first" "${chains[@]}"
run -timeout 12h -run '^TestKill$' ./broker/cmd/broker
