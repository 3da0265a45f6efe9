# Everything runs in .venv, which is made on first use. Needs Python 3.11 or newer and make, nothing else.
#   make validate ARGS="--effort standard"     make test ARGS="-k grammar"     make PYTHON=python3.12 test

PYTHON ?=
# make EXTRAS=dev,torch test     the tests of real language models, too
EXTRAS ?= dev
ARGS ?=
JOBS ?= auto

VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RUN := $(BIN)/python -m
# Made after the installation, so that one cut short is done again.
comma := ,
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))

.DELETE_ON_ERROR:
.PHONY: help install validate figures test test-all docs docs-check lint format clean

help:
	@echo "make validate   verify the published statements (ARGS=... is passed on)"
	@echo "make figures    redraw the paper's figures"
	@echo "make test       the fast tests"
	@echo "make test-all   the slow ones too"
	@echo "make docs       the site, in build/docs (EXTRAS=dev,docs)"
	@echo "make docs-check pages, links and names of the site, without running its code"
	@echo "make lint       style, types, import rules"
	@echo "make format     rewrite the code in the project's style"
	@echo "make clean      remove everything that was made, .venv too"

install: $(STAMP)

validate: $(STAMP)
	$(RUN) specsim validate $(ARGS)

figures: $(STAMP)
	$(RUN) specsim figures $(ARGS)

# One process per core already: threads of OpenMP within them would only wait for each other.
test test-all: export OMP_NUM_THREADS ?= 1

test: $(STAMP)
	$(RUN) pytest -m "not slow" -n $(JOBS) --dist loadfile $(ARGS)

test-all: $(STAMP)
	$(RUN) pytest -n $(JOBS) --dist loadfile $(ARGS)

docs docs-check: export OMP_NUM_THREADS ?= 1
docs: $(STAMP)
	@$(BIN)/python -c "import sphinx" 2>/dev/null || { echo "make: the site needs the extra docs; make EXTRAS=dev,docs docs" >&2; exit 1; }
	$(RUN) sphinx -W --keep-going -q -b html docs build/docs

docs-check: export SPECSIM_DOCS_CHECK := 1
docs-check: $(STAMP)
	@$(BIN)/python -c "import sphinx" 2>/dev/null || { echo "make: the site needs the extra docs; make EXTRAS=dev,docs docs-check" >&2; exit 1; }
	$(RUN) sphinx -W --keep-going -q -b dummy docs build/docs-check

lint: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

$(STAMP): pyproject.toml constraints.txt
	@suitable='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! "$(BIN)/python" -c "$$suitable" 2>/dev/null; then \
		for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python none; do \
			if "$$python" -c "$$suitable" 2>/dev/null; then break; fi; \
		done; \
		if [ "$$python" = none ]; then \
			echo "make: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		echo "making $(VENV) with $$($$python --version)"; \
		if ! "$$python" -m venv --clear $(VENV); then \
			echo "make: $$python cannot make virtual environments; install its venv module (python3-venv)" >&2; \
			exit 1; \
		fi; \
	fi
	@echo "installing into $(VENV)"
	@$(RUN) pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]" -c constraints.txt
	@echo "compiling the kernels"
	@$(RUN) specsim.engines > /dev/null
	@touch $@

clean:
	rm -rf $(VENV) build dist out htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf .coverage *.egg-info docs/generated
	find specsim theory validation paper_figures tests -name __pycache__ -type d -prune -exec rm -rf {} +
