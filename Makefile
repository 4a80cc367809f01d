.DEFAULT_GOAL := help
.PHONY: help setup setup-test up demo test check bench notebook docs lock

# The longest that all tests together may take; then they are interrupted, and that is a failure.
TEST_TIMEOUT ?= 45m
# How many files are tested at a time; each worker starts servers of its own.
TEST_WORKERS ?= 2
PYTHON ?= python3
export PYTHON

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup:  ## install what a practice needs; leaves .venv/bin/sorg (quick when all is there)
	@sh deploy/setup/debian.sh run
	@sh deploy/setup/python.sh
	@sh deploy/setup/viewer.sh

setup-test:
	@sh deploy/setup/debian.sh run test
	@$(MAKE) --no-print-directory setup

up: setup  ## start a practice, with demo people in it if there is none; Ctrl-C stops it
	@.venv/bin/sorg up $(ARGS)

demo: setup-test  ## the whole chain once, headless, in a throwaway practice (ARGS="--keep DIR")
	@.venv/bin/sorg demo $(ARGS)

test: setup-test  ## run all tests, against real servers (ARGS="-k word")
	@timeout --foreground --signal=INT --kill-after=2m $(TEST_TIMEOUT) .venv/bin/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(ARGS)

check: setup  ## style, types, import directions
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/lint-imports

bench: setup-test  ## the benchmark table, ours beside the reference
	@.venv/bin/sorg bench $(ARGS)

notebook: setup  ## JupyterLab on the analysts' notebooks
	@.venv/bin/jupyter lab --notebook-dir=notebooks $(ARGS)

docs: setup  ## write the generated pages of docs/ again
	@.venv/bin/sorg docs

lock:  ## resolve the pinned packages anew (docs/decisions/001-lock-without-addresses.md)
	sh deploy/setup/uv.sh
	.setup/uv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements.lock $(ARGS)
	cd viewer && npm install --package-lock-only --loglevel=error
