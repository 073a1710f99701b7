# Everything a contributor needs; each target may be run again at any time and does only what is missing.
#   make quickstart   set up, then train a small network on real data
#   make test         set up, then run the tests
#   make lint types doctest docs
#   make bench        print how fast it is, next to torch.optim and to loops
# On Linux, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu saves gigabytes if there is no GPU.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := $(VENV)/bin
SETUP := pyproject.toml constraints.txt
INSTALL := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
           $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

export OMP_NUM_THREADS ?= 1

.PHONY: help quickstart test lint format types doctest docs bench serve clean

help:
	@sed -n 's/^#  //p' Makefile

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.examples: $(VENV)/.created $(SETUP)
	@echo "Installing into $(VENV): a few minutes the first time"
	@$(INSTALL) -e '.[examples]'
	@touch $@

$(VENV)/.test: $(VENV)/.created $(SETUP)
	@echo "Installing into $(VENV): a few minutes the first time"
	@$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.examples

$(VENV)/.docs: $(VENV)/.test $(SETUP)
	@$(INSTALL) -e '.[test,docs]'
	@touch $@

quickstart: $(VENV)/.examples
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: export OMP_NUM_THREADS = $(shell getconf _NPROCESSORS_ONLN)
bench: $(VENV)/.test
	$(BIN)/python -m tests.bench.step_overhead
	$(BIN)/python -m tests.bench.step_memory
	$(BIN)/python -m tests.bench.compile_time
	$(BIN)/python -m tests.bench.matrix_optimizers
	$(BIN)/python -m tests.bench.batched_against_loop
	$(BIN)/python -m tests.bench.hypergradient_memory
	$(BIN)/python -m tests.bench.lbfgs_overhead
	$(BIN)/python -m tests.bench.ensembles
	$(BIN)/python -m tests.bench.import_time

doctest: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) -q --doctest-modules torchzero

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

serve: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean:
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache .hypothesis
