PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
# Whole files go to a worker, in the order of tests/conftest.py.
SPREAD := --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow lint bench results clean

# Everything from a fresh machine: `make demo`, or `make demo SOUNDS=folder` with a subfolder a class.
demo: $(READY)
	$(BIN)/keras-audio demo $(if $(SOUNDS),--sounds "$(SOUNDS)")

test: $(READY)
	$(BIN)/python -m pytest -q -m "not slow" -n 2 $(SPREAD)

test-slow: $(READY)
	$(BIN)/pip install -q -c constraints.txt jax torch
	$(BIN)/python -m pytest -q -n 2 $(SPREAD)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# All targets; with `make bench SOUNDS=folder` of ESC-10 what reads sounds reads real ones.
# kapre's bounds shut out this Keras, with which it runs.
bench: $(READY)
	$(BIN)/pip install -q -c constraints.txt -e ".[bench]"
	$(BIN)/pip install -q -c constraints.txt --no-deps kapre
	$(BIN)/python benchmarks/run_all.py $(if $(SOUNDS),--source "$(SOUNDS)")

results: $(READY)
	$(BIN)/python experiments/erann_page.py
	$(BIN)/python experiments/make_results.py
	$(BIN)/python -m data_prep.pages

clean:
	rm -rf .venv demo build *.egg-info

$(READY): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"keras-audio needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12")'
	@echo "Installing into .venv: about a minute, 2.8 GB"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(READY)
