#!/bin/sh
# 100 orders, consumers that come and go and an attempt that fails, traced into a
# real Jaeger; `quokka verify --traces` then asks it for every order's trace.
#
# Jaeger is built from its public Go module into the user's cache directory: the
# first time that takes minutes.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
version=v1.76.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quokka
binary=$cache/jaeger-$version

if [ ! -x "$binary" ]; then
	if ! module=$(GOWORK=off $go mod download -json github.com/jaegertracing/jaeger@$version); then
		echo "trace-test: not run: no Jaeger: its module cannot be had: $(echo "$module" | sed -n 's/.*"Error": "\(.*\)".*/\1/p')"
		exit 0
	fi
	echo "trace-test: building Jaeger $version (once, some minutes)"
	# Its go.mod has replace lines, which `go install` refuses: build a copy.
	source=$(mktemp -d)
	trap 'rm -rf "$source"' EXIT
	cp -r "$(echo "$module" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/." "$source"
	chmod -R u+w "$source"
	mkdir -p "$cache"
	if ! (cd "$source" && GOWORK=off nice $go build -o "$binary.new" ./cmd/all-in-one); then
		echo "trace-test: not run: Jaeger cannot be built here (see above)"
		exit 0
	fi
	mv "$binary.new" "$binary"
fi
QUOKKA_E2E_JAEGER=$binary $go test -count=1 -timeout 10m -v -run 'TestEveryOrderIsOneTrace$' ./deploy/e2e
