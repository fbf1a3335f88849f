# Two commands do everything on a fresh machine: `make demo` and `make test`.
# The environment lives in .venv; it is made and the core rebuilt when pyproject.toml or the C++ sources change.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CORE := CMakeLists.txt $(shell find cpp -name '*.hpp' -o -name '*.cpp')
PYTEST := $(BIN)/python -m pytest
# Test by test on all cores; what is measured is measured in benchmarks/, never here.
SPREAD := -p no:benchmark -n auto --dist worksteal

SEED ?=
KILLS ?= 2000
TRADES ?= 1000000
DAYS ?= 20

.PHONY: help demo test unit screens simulate soak chaos chaos-short order-check judges lint format bench core-test sanitize fuzz setup clean conformance

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(VENV)/.built ## make the environment and build the core

$(VENV)/.ready: pyproject.toml .ci/setup
	@.ci/setup environment $(VENV)

$(VENV)/.built: $(VENV)/.ready $(CORE)
	@.ci/setup build $(VENV)

demo: setup ## log in to an emulated broker, stream, trade, and prove the books agree
	$(BIN)/dragoman demo $(DEMO)

test: setup unit simulate chaos-short judges ## the whole suite, official-SDK judges included

unit: setup ## our own suite
	$(PYTEST) $(SPREAD) -m "not judge" --ignore=tests/simulation --ignore=tests/chaos

simulate: setup ## trading days on the virtual clock: nothing grows but the orders
	$(PYTEST) tests/simulation

soak: setup ## a day of 24 hours under tracemalloc (SOAK="--hours 72" for longer); TRADES=1000000 against the exact oracle; DAYS=20 with rules at every broker
	PYTHONPATH=tests $(BIN)/python -m simulation.trading_day $(SOAK)
	PYTHONPATH=tests $(BIN)/python -m property.position_soak $(TRADES) $(SEED)
	PYTHONPATH=tests $(BIN)/python -m simulation.money_day --seeds $(DAYS)

chaos-short: setup ## real processes: 100 traders killed at random, journals and limits shared, system calls in order
	$(PYTEST) -s tests/chaos

chaos: setup ## kill 2,000 traders at random, each while it places orders, and race 1,000 kill switches; KILLS=10000 for more, SEED=n to repeat a run
	CHAOS_KILLS=$(KILLS) CHAOS_SEED=$(SEED) $(PYTEST) -s tests/chaos/test_killed_traders.py
	CHAOS_KILL_SEEDS=1000 $(PYTEST) tests/chaos/test_kill_race.py

order-check: setup ## prove with strace that every intent is on the disk before a byte of it leaves
	PYTHONPATH=tests $(BIN)/python -m chaos.order_check

conformance: setup ## every adapter against every scenario, in memory; CONFORMANCE="zerodha -k book" for less
	$(BIN)/dragoman conformance $(CONFORMANCE)

judges: setup ## official broker SDKs, each in an environment of its own, against our emulators
	$(PYTEST) -m judge tests/judges

lint: setup ## ruff, mypy --strict, clang-format
	@.ci/lint $(VENV)

format: setup ## rewrite the sources in the house format
	$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q . ; $(BIN)/clang-format -i $(filter %.hpp %.cpp,$(CORE))

bench: setup ## compare with peers on the same bytes; writes benchmarks/results/
	$(BIN)/python -m benchmarks $(BENCH)

core-test: ## the C++ tests, without Python (needs cmake)
	@.ci/core-test

sanitize: ## the C++ tests under address and undefined-behaviour sanitizers (needs cmake)
	@.ci/core-test sanitize

fuzz: ## fuzz the decoders for a while, FUZZ_SECONDS each (needs Debian's clang and libclang-rt)
	@.ci/fuzz

screens: setup ## take pictures of what people look at, into build/screens/; SCREENS="watch watch_kill" for some of them
	$(BIN)/python .ci/screens $(SCREENS)

clean: ## remove everything that was made
	rm -rf $(VENV) .judges build .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/results
