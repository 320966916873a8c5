# Everything a newcomer types. Each target does its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

LAB ?= .lab
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
export CGO_ENABLED ?= 0

.PHONY: help setup build demo test test-short lint bench clean

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

test: lint ## all tests
	@scripts/setup.sh test
	CGO_ENABLED=1 go test -race -timeout 10m ./...
	go test -tags e2e -count=1 -timeout 5m ./internal/report/page
	go run ./test/cmd/lab -dir $(LAB) prepare
	go run ./test/cmd/lab -dir $(LAB) with env LAB_DIR=$(abspath $(LAB)) go test -tags e2e -count=1 -timeout 15m -p 1 ./internal/kmod/engine ./internal/kmod/image ./test/lab
	LAB_DIR=$(abspath $(LAB)) go test -tags e2e -count=1 -timeout 25m ./test/e2e

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
