#!/usr/bin/env bash
# Runs every fuzz target in turn, FUZZTIME each (default 1m). FUZZ names some of them,
# by a regular expression. What a target finds is written beside it, into testdata, and
# from then on runs as a test. By itself Go takes up to a minute to make each input that
# reaches something new smaller, and tries nothing else meanwhile: here a second.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
while IFS=: read -r file name; do
	[[ $name =~ ${FUZZ:-.} ]] || continue
	dir=$(dirname "$file")
	echo "$name in $dir"
	"${GO:-go}" test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-1m}" -fuzzminimizetime 1s "./$dir" | grep -vE '^(PASS|ok)|baseline coverage' || true
	[ "${PIPESTATUS[0]}" = 0 ] || failed=1
done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' . | sed 's/func //' | sort)
exit $failed
