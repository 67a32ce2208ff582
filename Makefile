# Everything a person types. CI runs `make test` (.ci/run).
.DEFAULT_GOAL := help
.PHONY: demo demo-presence demo-health demo-down test e2e bench soak crds fmt lint help

demo: ## From nothing to a delivered notification, on a node with real pods
	@tests/demo/run

demo-presence: ## A call on a real Kamailio turns a person busy in the simulated Teams, and back
	@tests/demo/presence

demo-health: ## A connector broken in five ways, one after the other, and five right diagnoses
	@tests/demo/health

demo-down: ## End what make demo left running
	@tests/demo/down

test: ## Everything CI checks: format, lints, licences, alerts, unit tests, a real Kamailio, bad TLS, tests on a real API server
	@PROPTEST_RNG_SEED=$${PROPTEST_RNG_SEED:-1} tests/support/gate lint alerts unit presence tls cluster faults

e2e: ## Tests with real pods; KUBECONFIG=… for a cluster of your own
	@tests/e2e/run

bench: ## Every benchmark; figures in target/bench/*.json, and last which limits were not met
	@tests/support/bench

soak: ## The random tests with many more cases, every crash point, an upgrade, thirty simulated days; SOAK=1 make e2e is the same with real pods
	@PROPTEST_CASES=$${PROPTEST_CASES:-5000} CRASH_POINTS=$${CRASH_POINTS:-all} CRASH_SEEDS=$${CRASH_SEEDS:-1000} \
	FAULT_SEEDS=$${FAULT_SEEDS:-30} tests/support/gate unit presence cluster faults upgrade
	@PRESENCE_HISTORIES=$${PRESENCE_HISTORIES:-1000000} tests/support/gate histories
	@tests/support/thirty-days

crds: ## Write crds/ (and the charts' copies) from the types in src/api
	@tests/support/crds

fmt: ## Format the sources
	@cargo fmt

lint: ## The part of make test that runs nothing: format, clippy, shellcheck, cargo-deny
	@tests/support/gate lint

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile
