#!/usr/bin/env bash
# The whole `make test`, in a copy of the tree that has one more service: what
# `quokka new service` makes must pass every check that the other services pass.
set -euo pipefail
cd "$(dirname "$0")/.."
make -s build
copy=$(mktemp -d "${TMPDIR:-/tmp}/quokka-new-service-XXXXXX")
trap 'chmod -R u+w "$copy" && rm -rf "$copy"' EXIT
chmod 711 "$copy" # PostgreSQL runs as another account
tar cf - --exclude=./.git --exclude=./.quokka . | tar xf - -C "$copy"
cd "$copy"
.bin/quokka new service payment --consumes orders.v1 --produces payments.v1 --db --http
make test
