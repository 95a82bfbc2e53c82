# Everything a newcomer types. PYTHON and TORCH may be set: make demo PYTHON=python3.12 TORCH=torch
PYTHON ?= python3
# Named exactly, so that a local build (a CPU wheel, say) is taken where pip is told of one.
TORCH ?= torch==2.13.0
DEMO ?= codecfake-demo

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test test-cluster chaos security lint bench

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[demo,test]"
	touch $(READY)

demo: $(READY)  ## Rebuild a small dataset from synthetic corpora, train a detector, print its EER table.
	$(BIN)/codecfake demo --out $(DEMO)

test: $(READY) lint  ## Run the tests, but for those of many machines.
	$(BIN)/python -m pytest -m "not cluster" --numprocesses auto --maxprocesses 4 --dist loadfile

test-cluster: $(READY)  ## Run the tests with a server, a PostgreSQL (Debian's package) and several workers.
	$(BIN)/python -m pytest -m cluster

chaos: $(READY)  ## Kill, starve and damage every command, and print what was lost; some 20 minutes.
	$(BIN)/python benchmarks/crash_matrix.py

security: $(READY)  ## Look for unsafe code, and for known faults in the packages (asks a service on the internet).
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive codec_adapters detector docker flows manifests pipeline
	$(BIN)/pip-audit --requirement docker/requirements-cpu.lock

lint: $(READY)  ## Check style.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)  ## Measure again what the README states.
	$(BIN)/codecfake bench resynthesis
	$(BIN)/codecfake bench resynthesis --weights mini
	$(BIN)/codecfake bench io
	$(BIN)/codecfake bench features
	$(BIN)/codecfake bench train
	$(BIN)/python benchmarks/overlap.py
	$(BIN)/python benchmarks/small_files.py
	$(BIN)/python benchmarks/splits_full_scale.py
	$(BIN)/python benchmarks/prefect_overhead.py
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/codecs.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/front_ends.py
	$(BIN)/python benchmarks/detector_training.py
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/load.py
	$(BIN)/python benchmarks/readme_tables.py
