PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow check install install-test bench

demo: install  ## the main job on real input, with its summary, figures and where to look
	$(BIN)/python -m lossbench loss=amsoftmax m=0.35

test: install-test  ## the default tests: no network, no account, no GPU
	$(BIN)/python -m pytest

test-slow: install-test  ## tests of minutes: the built wheel
	$(BIN)/python -m pytest -m slow

check: install-test  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install  ## training speed as ratios; a few minutes
	$(BIN)/python scripts/bench_train.py

install: .venv/.installed
install-test: .venv/.installed-test

.venv:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/.installed-test: pyproject.toml constraints.txt | .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test]"
	touch .venv/.installed $@
