# Every command runs from a fresh clone. `make help` lists them.
GO       ?= go
BIN      := $(CURDIR)/.bin
LINT     := $(BIN)/golangci-lint-v2.15.0
# The race detector needs a C compiler; without one the tests still run.
RACE     := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && $(GO) env CGO_ENABLED | grep -q 1 && echo -race)
# Git does not look into a tree of somebody else's, and go build, which asks it for the
# commit, would fail.
ifeq ($(shell git rev-parse HEAD 2>/dev/null),)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif
MODULES   = $(shell $(GO) list -m -f '{{.Dir}}')
UNIT      = $(shell $(GO) list work | grep -v /deploy/e2e)
ORDERS   ?= 200
FUZZTIME ?= 1m

.PHONY: help demo up build test unit faults crash fuzz e2e vet lint drift tidy generate bench bench-orders bench-broker bench-full kafka-up kafka-down kafka-test opensearch-up opensearch-down opensearch-test diff-kafka conformance compose-check compose-test image-size clean
.DEFAULT_GOAL := help

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(BIN)/quokka ## place 200 orders through every part and count what arrived
	@$(BIN)/quokka demo --orders $(ORDERS)

up: $(BIN)/quokka ## the same platform, kept up, its addresses printed
	@$(BIN)/quokka up

build: $(BIN)/quokka ## build every module, and the command into .bin/
	@$(GO) build work

# Go itself knows whether it is up to date. Building all modules links all their
# programs, which who wants to see the platform need not wait for.
$(BIN)/quokka: FORCE
	@mkdir -p $(BIN)
	@$(GO) build -o $@ ./deploy/quokka
.PHONY: FORCE

test: build vet lint drift unit faults e2e ## every check a change must pass
	@echo "all checks passed"

unit: ## unit and contract tests of all modules
	@echo "race detector: $(if $(RACE),on,not run (no C compiler found))"
	@$(GO) run ./internal/pgserver/which
	@test -n "$$QUOKKA_KAFKA_BROKERS" && echo "Apache Kafka: at QUOKKA_KAFKA_BROKERS" || echo "Apache Kafka: not run (make kafka-test)"
	@test -n "$$QUOKKA_SEARCH_URL" && echo "OpenSearch: at QUOKKA_SEARCH_URL" || echo "OpenSearch: not run (make opensearch-test)"
	@command -v kcat >/dev/null 2>&1 && echo "kcat: $$(command -v kcat)" || echo "kcat: not run (not installed)"
	@$(GO) test $(RACE) -timeout 40m -skip '^(TestPowerCuts|TestKill$$)' $(UNIT)

faults: ## power cuts in memory and 200 kill -9 of the broker under load, counted; part of test
	@GO=$(GO) RACE=$(RACE) broker/faults.sh

crash: ## the same for long: QUOKKA_KILLS kills (2000); other cuts and kills each time, prints its seed (QUOKKA_CRASH_SEED repeats it)
	@GO=$(GO) RACE=$(RACE) broker/faults.sh long

fuzz: ## every fuzz target in turn, FUZZTIME each (1m); FUZZ=name: some of them
	@GO=$(GO) FUZZTIME=$(FUZZTIME) FUZZ='$(FUZZ)' broker/fuzz.sh

e2e: build ## the whole platform as a user runs it: demo, kill -9, errors
	@QUOKKA_E2E_BINARY=$(BIN)/quokka $(GO) test -count=1 -timeout 40m ./deploy/e2e/...
	@$(GO) test -count=1 -v -run TestNotRun ./deploy/e2e/docs | grep 'not run:' || true

.PHONY: docs-test
docs-test: build ## every command of README and docs, also the slow ones (Java and Maven, Docker where it is)
	@QUOKKA_DOCS_ALL=1 QUOKKA_E2E_BINARY=$(BIN)/quokka $(GO) test -count=1 -v -timeout 2h ./deploy/e2e/docs

vet: ## go vet, also for macOS
	@$(GO) vet work
	@GOOS=darwin CGO_ENABLED=0 $(GO) vet work

lint: $(LINT) ## golangci-lint and gofmt
	@test -z "$$(gofmt -l $(MODULES))" || { echo "gofmt these files:"; gofmt -l $(MODULES); exit 1; }
	@$(LINT) run $(addsuffix /...,$(MODULES))

$(LINT):
	@mkdir -p $(BIN)
	@echo "building golangci-lint (once, about a minute)"
	@GOWORK=off GOBIN=$(BIN)/tmp $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(BIN)/tmp/golangci-lint $@ && rmdir $(BIN)/tmp

drift: ## generated code and module files say what their sources say
	@$(GO) run ./schemas/cmd/schemas generate --check
	@$(GO) run ./schemas/cmd/schemas check
	@$(GO) test -short -count=1 -run "Files|Arrows" ./internal/workspace/...
	@$(GO) test -count=1 -run DashboardFiles ./deploy/monitoring

generate: ## regenerate what is generated
	@$(GO) run ./schemas/cmd/schemas generate
	@$(GO) run ./deploy/monitoring/generate

tidy: ## go mod tidy in every module
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy) || exit 1; done

bench: ## Go's micro-benchmarks of all modules, each beside its peer or limit
	@$(GO) test -run '^$$' -bench . -benchtime 2s work

bench-orders: ## orders a second that the platform sustains, and settle times, on its broker and on Apache Kafka
	@$(GO) test -run '^$$' -bench Settle -benchtime 1x -timeout 30m ./deploy/demo

bench-broker: ## the broker beside a null broker, kfake and Apache Kafka, up to 20 minutes (BENCH: more arguments)
	@mkdir -p $(BIN)
	@$(GO) build -o $(BIN)/brokerbench ./deploy/brokerbench
	@$(BIN)/brokerbench $(BENCH)

bench-full: ## bench-broker with more rounds and bytes, up to two hours
	@$(MAKE) --no-print-directory bench-broker BENCH='-full $(BENCH)'

kafka-up: ## start Apache Kafka from its jars (KAFKA_NODES=1 or 3); the last line is its address
	@$(GO) run ./deploy/kafka/run up

kafka-down: ## end it; its data stays in .quokka/kafka
	@$(GO) run ./deploy/kafka/run down

kafka-test: ## contract tests and demo on Apache Kafka, also with a node killed meanwhile
	@GO=$(GO) deploy/kafka-test.sh

diff-kafka: ## the broker's answers beside Apache Kafka's, field by field (ARGS=-rewrite: its golden files)
	@GO=$(GO) deploy/diff-kafka.sh $(ARGS)

opensearch-up: ## start OpenSearch from its Maven archive; the last line is its URL
	@$(GO) run ./deploy/opensearch/run up

opensearch-down: ## end it; its data stays in .quokka/opensearch
	@$(GO) run ./deploy/opensearch/run down

opensearch-test: ## search-sync's contract tests and the demo on OpenSearch, also killed meanwhile
	@GO=$(GO) deploy/opensearch-test.sh

conformance: ## the suites and clients of strangers against the broker (SUITE=kgo: one of them)
	@$(GO) run ./deploy/conformance -suite "$(SUITE)"

compose-check: ## docker compose's files and the Dockerfile, held against the code (needs no engine)
	@$(GO) test -count=1 ./deploy/compose ./deploy/monitoring
	@$(GO) test -count=1 -run 'Compose|TopicsInFiles|Runbooks' ./deploy/quokka

compose-test: ## docker compose up, then verify; needs a Docker engine
	@deploy/compose-test.sh

.PHONY: new-service-test
new-service-test: ## make test once more, in a copy of the tree with one more service
	@deploy/newservice-test.sh

.PHONY: trace-test
trace-test: build ## 100 orders into a real Jaeger, which is built once; each must be one whole trace
	@GO=$(GO) QUOKKA_E2E_BINARY=$(BIN)/quokka deploy/trace-test.sh

image-size: ## how large the image's program is, packed and unpacked
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o $(BIN)/quokka-static ./deploy/quokka
	@printf 'quokka: %s bytes, %s as an image layer (gzip)\n' "$$(wc -c <$(BIN)/quokka-static)" "$$(gzip -c $(BIN)/quokka-static | wc -c)"

clean: ## remove what the build and the runs leave behind
	@rm -rf $(BIN) .quokka
