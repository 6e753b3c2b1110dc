# `make demo` and `make test` are all a newcomer needs: each builds `.venv` first.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
THREADS := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST := $(THREADS) $(BIN)/python -m pytest -n 2

.PHONY: demo test test-slow test-upstream test-tutorials lint format bench notebooks docs clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: .venv/installed  ## trains, evaluates and serves a two-tower model on MovieLens
	$(BIN)/python -m pipelines.retrieval

test: .venv/installed  ## everything but the slow tests
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: .venv/installed  ## the others; apart, for workers that start anew need less memory
	$(PYTEST) --dist worksteal -m slow

test-upstream: .venv/installed  ## TensorFlow Recommenders' own tests on our classes
	$(BIN)/python -m pytest tests/parity --upstream=all

test-tutorials: .venv/installed  ## upstream's notebooks: TUTORIALS=<its docs/examples>
	$(BIN)/python -m pipelines.tutorials $(TUTORIALS)

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed
	$(BIN)/python -m pipelines.benchmarks

notebooks: .venv/installed  ## runs every notebook in full
	$(BIN)/python -m pipelines.notebooks

docs: .venv/installed  ## builds the site into `build/docs` and checks its links
	$(THREADS) $(BIN)/python -m sphinx -b html --fail-on-warning --keep-going --nitpicky \
	  --quiet -E -d build/doctrees docs build/docs
	$(BIN)/python docs/extensions/check_links.py build/docs

clean:
	rm -rf .venv build dist *.egg-info
