# Everything a newcomer types. Each target does its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

LAB ?= .lab
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
RESULTS := $(LAB)/results
export CGO_ENABLED ?= 0
# The race detector otherwise waits a second at the end of each process for goroutines that may still race.
export GORACE ?= atexit_sleep_ms=0

.PHONY: help setup build demo test test-short lint bench clean lab test-unit test-engines test-e2e

help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: ## install what is missing on this machine (Debian and Ubuntu; elsewhere it says what to do)
	@scripts/setup.sh test

build: ## compile bin/neuron-kmod
	@scripts/setup.sh build
	go build -trimpath -o bin/neuron-kmod ./cmd/neuron-kmod

demo: ## the main job, end to end: real kernels, compiler, podman and registry; no account, no internet but packages
	@scripts/setup.sh demo
	go build -trimpath -o bin/neuron-kmod ./cmd/neuron-kmod
	go run ./test/cmd/lab -dir $(LAB) demo -bin bin/neuron-kmod

test: ## all tests; two stages side by side keep both cores busy, and the ten slowest tests come last
	@scripts/setup.sh test
	@go build -o bin/ ./test/cmd/...
	@rm -rf $(RESULTS) && mkdir -p $(RESULTS)
	@status=0; $(MAKE) --no-print-directory -j 3 lint test-unit lab && \
		$(MAKE) --no-print-directory -j 2 test-engines test-e2e || status=$$?; \
		bin/gotest -slowest 10 $(RESULTS)/*.json; exit $$status

lab:
	bin/lab -dir $(LAB) prepare

test-unit:
	CGO_ENABLED=1 bin/gotest -o $(RESULTS)/unit.json -- -race -vet off -timeout 10m ./...

test-engines: # with one podman and one docker, so one package after the other
	bin/lab -dir $(LAB) with bin/gotest -o $(RESULTS)/engines.json -- \
		-tags e2e -vet off -count 1 -timeout 10m -p 1 ./internal/kmod/engine ./internal/kmod/image

test-e2e: # each test with an environment of its own
	LAB_DIR=$(abspath $(LAB)) bin/gotest -o $(RESULTS)/e2e.json -- \
		-tags e2e -vet off -count 1 -timeout 20m -parallel 4 ./test/e2e ./test/lab ./internal/report/page

test-short: ## the tests that need nothing but Go
	@scripts/setup.sh build
	go test -short ./...

lint: ## golangci-lint (.golangci.yml says why), shellcheck, actionlint
	@scripts/setup.sh test
	go run $(GOLANGCI) run ./...
	git ls-files -co --exclude-standard '*.sh' .ci/run | xargs shellcheck
	go run $(ACTIONLINT)

bench: ## the benchmarks of the issue: counts and ratios
	@scripts/setup.sh test
	go run ./test/cmd/lab -dir $(LAB) prepare
	go test -run '^$$' -bench . -benchtime 1x -count=1 ./internal/openshift/toolkit ./internal/openshift/catalogsync ./internal/cli
	LAB_DIR=$(abspath $(LAB)) E2E_RACE=0 go test -tags e2e -run '^$$' -bench . -benchtime 1x -count=1 -timeout 60m ./test/e2e

clean: ## remove what make has made
	go run ./test/cmd/lab -dir $(LAB) clean
	rm -rf bin
