# Needs make and Python 3.11 or newer with pip; everything goes to .venv and exp.

PYTHON ?= python3
BIN = .venv/bin

help:  ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile

setup: .venv/test  ## install the toolkit and its tools into .venv

format: setup  ## lay out the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup  ## layout, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: setup  ## run the tests
	$(BIN)/python -m pytest

demo: .venv/synth  ## make speech, train on it, score it, transcribe a recording
	$(BIN)/asr run numbers
	@set -e; set -- exp/numbers/data/audio/test/*.flac; \
	echo "asr transcribe $$1 --model numbers"; \
	$(BIN)/asr transcribe "$$1" --model numbers

bench: setup  ## run every benchmark in turn, but for the peer, which needs a Python of its own
	@set -e; for script in benchmarks/[!p]*.py; do \
	[ -f "$$script" ] || continue; echo "$$script"; $(BIN)/python "$$script"; done

# Stamps: an installation is as old as the pyproject.toml that it was made from.

.venv/test: pyproject.toml .venv/synth
	$(BIN)/pip install -e '.[test]'
	@touch $@

.venv/synth: pyproject.toml | .venv/pyvenv.cfg
	$(BIN)/pip install -e '.[synth]'
	@touch $@

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("asr needs Python 3.11 or newer, and $(PYTHON) is %d.%d: name another, such as make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv

.DELETE_ON_ERROR:
.PHONY: help setup format check test demo bench
