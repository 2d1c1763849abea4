# The verbs that people and CI share. Everything runs inside .venv; `make BIN=DIR check` uses another.
BIN ?= .venv/bin

.PHONY: setup demo test check bench

setup:  ## make .venv; does nothing when it is up to date
	.ci/setup.sh

test: setup  ## from a fresh clone to every check
	$(MAKE) check

check:  ## the gate
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q

demo: setup

bench: setup
