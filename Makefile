# The verbs of this project. `make` alone lists them; each one creates what it needs.
#
# What is installed comes from requirements/dev.txt, pinned with hashes, into .venv. Nothing is compiled and nothing outside
# this folder changes, but for Chromium and Prometheus, which `make test` installs with apt-get when it runs as root.

SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CRASHES ?= 25
JOBS ?= 3
# What is compiled is kept, whatever the environment says: each process that starts would compile it again, and each of the
# processes of a test run the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: verbs demo stop walkthrough test check bench mutants simulate docs requirements format lint types layers house
.DEFAULT_GOAL := verbs

verbs:
	@echo "make demo              install if needed, then play the quickstart and clean up   (KEEP=1 leaves it running)"
	@echo "make stop              end what 'make demo KEEP=1' left running"
	@echo "make walkthrough       play examples/walkthrough: one release, gated across two platforms   (KEEP=1 leaves it running until Ctrl-C)"
	@echo "make test              run the whole test suite   (PG=<bindir> runs the store tests on that PostgreSQL; JOBS=3 at a time)"
	@echo "make check             format, lint, types, layers and house tests, in under 30 s"
	@echo "make bench             measure and print speed, with the method"
	@echo "make mutants FILE=...  change a file in every small way and show what its own tests do not notice   (TESTS=... names others)"
	@echo "make simulate          kill Interlock CRASHES=$(CRASHES) times at seeded moments during the quickstart"
	@echo "make docs              write the generated pages: docs/rules, docs/agents, docs/metrics, docs/reference"

# --- the environment ---------------------------------------------------------------------------------------------------------

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Interlock needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Creating $(VENV)"; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "Installing requirements/dev.txt into $(VENV) (once; a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src
	@touch $(STAMP)

# --- the quickstart ----------------------------------------------------------------------------------------------------------

demo: $(STAMP)
	@KEEP=$(KEEP) $(BIN)/python examples/quickstart/demo.py

stop: $(STAMP)
	@$(BIN)/python examples/quickstart/demo.py stop

# The page examples/walkthrough/README.md, played: a release across GitHub, Terraform Cloud and Argo CD.
walkthrough: $(STAMP)
	@KEEP=$(KEEP) $(BIN)/python examples/walkthrough/walkthrough.py

# --- checks and tests --------------------------------------------------------------------------------------------------------

# The five checks run side by side, each with its output in one piece where this make can do that.
check: $(STAMP)
	@$(MAKE) --no-print-directory --keep-going --jobs=4 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
	  types house lint format layers && echo "check: all good"

format: $(STAMP)
	@$(BIN)/ruff format --check --quiet . || { echo "format: run '$(BIN)/ruff format .'" >&2; exit 1; }

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .

types: $(STAMP)
	@$(BIN)/mypy --no-error-summary

layers: $(STAMP)
	@$(BIN)/lint-imports --no-logo >$(VENV)/.layers 2>&1 || { cat $(VENV)/.layers; exit 1; }

house: $(STAMP)
	@$(BIN)/python -m pytest --quiet tests/house

# Three processes, because many tests wait; a file stays in one of them, its tests may share a server. (JOBS=0: this process.)
test: $(STAMP)
	@.ci/programs
	@INTERLOCK_TEST_PG="$(PG)" $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(ARGS)

simulate: $(STAMP)
	@INTERLOCK_CRASHES=$(CRASHES) $(BIN)/python -m pytest tests/e2e/test_crashes.py $(ARGS)

# --- findings and pages ------------------------------------------------------------------------------------------------------

bench: $(STAMP)
	@$(BIN)/python -m bench $(ARGS)

# Not in CI: a file takes minutes. What survives is a question to judge, not a failure of the build.
mutants: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/mutants.txt
	@$(BIN)/python .ci/mutants $(FILE) $(TESTS)

docs: $(STAMP)
	@$(BIN)/python docs/generate.py

# For maintainers: compile requirements/*.in again. No download address is recorded.
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate --no-header
requirements: $(STAMP)
	@$(COMPILE) requirements/base.in -o requirements/base.txt
	@$(COMPILE) requirements/dev.in -o requirements/dev.txt
	@cd requirements && ../$(COMPILE) mutants.in -o mutants.txt
