# Everything is installed in .venv, from constraints.txt; a second run installs nothing. PYTHON=… chooses the interpreter.

VENV ?= .venv
CONSTRAINTS ?= constraints.txt
ARGS ?=
JOBS ?= auto
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
WAITING_JOBS ?= $(shell expr $(CORES) + 2)
unexport PYTHONDONTWRITEBYTECODE  # the tests start a thousand processes of the same modules
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL = $(PIP) install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
PYTEST = $(BIN)/python -m pytest --dist worksteal
COVERED = $(BIN)/python -m coverage run -m pytest --dist worksteal
WAITING = tests/acceptance tests/faults $(wildcard tests/cli/test_hostile_*.py tests/cli/test_imports.py tests/cli/test_top_*.py)
PROJECT = $(INSTALL) --no-build-isolation --editable
SUITABLE := import sys; sys.exit(sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info[:2] <= (3, 13))

# The first suitable Python, those that can create an environment first.
PYTHON ?= $(shell for need in ensurepip sys; do for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import venv, '$$need'; $(SUITABLE)' 2>/dev/null && echo $$python && exit; done; done)

# uv gets one if the machine has no suitable Python.
UV ?= $(if $(PYTHON),,$(shell command -v uv))

.DEFAULT_GOAL := help
.PHONY: help demo test check static types layers docs cover bench proof pictures format clean check-latest check-oldest constraints

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.demo ## run the demo on its own log
	@$(BIN)/craft-events demo $(ARGS)

test: $(VENV)/.test ## run the tests without the slow ones, on every core; ARGS="-k serve" selects some
	@$(PYTEST) -n $(JOBS) -m "not slow and not drivers and not proof" $(ARGS)

check: ## run everything that CI runs
	@$(MAKE) --no-print-directory -j 2 static docs
	@$(MAKE) --no-print-directory cover

static: types layers

types: $(VENV)/.check
	$(BIN)/mypy

layers: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@for file in benchmarks/[a-z]*.py; do \
		module=$$(basename $$file .py); $(BIN)/python -W error -c "import benchmarks.$$module" || exit; done

docs: $(VENV)/.check ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

cover: $(VENV)/.check
	@rm -f .coverage .coverage.*
	@code=0; \
	$(COVERED) -n $(JOBS) -m "not proof and not waiting" $(ARGS) || test $$? = 5 || code=1; \
	$(PYTEST) -n $(WAITING_JOBS) -m "not proof and waiting" $(WAITING) $(ARGS) || test $$? = 5 || code=1; \
	exit $$code
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report --skip-covered --show-missing
	@$(BIN)/python -m coverage report --include='craft_easy/*' --fail-under=95 >/dev/null || \
		{ echo "less than 95 % of the library is covered" >&2; exit 1; }

bench: $(VENV)/.bench ## measure the library next to its peers, as ratios
	@$(BIN)/python -m benchmarks $(ARGS)

proof: $(VENV)/.test ## kill processes 500 times, at every point, and check that nothing is lost
	@$(BIN)/python -m pytest -q -n $(JOBS) --hypothesis-profile search tests/properties
	@$(BIN)/python -m tests.proof $(ARGS)

pictures: $(VENV)/.test ## draw the pictures of the README
	@$(BIN)/python -m docs.pictures

format: $(VENV)/.check ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

check-latest: ## run the checks on the newest release of everything
	@$(MAKE) check VENV=.venv-latest CONSTRAINTS=

check-oldest: ## run the tests on the oldest releases that pyproject.toml allows
	@$(MAKE) .venv-oldest/.test VENV=.venv-oldest
	@.venv-oldest/bin/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		extras = project["optional-dependencies"]; \
		print(*[each.partition(";")[0].replace(">=", "==") for each in project["dependencies"] + extras["metrics"] + extras["motor"] + extras["ui"]])' \
		| xargs .venv-oldest/bin/python -m pip --disable-pip-version-check install --quiet
	@.venv-oldest/bin/python -m pytest -m "not proof" -W default::DeprecationWarning $(ARGS)

constraints: ## write constraints.txt from the newest releases
	@rm -rf .venv-latest
	@$(MAKE) .venv-latest/.check VENV=.venv-latest CONSTRAINTS=
	@{ sed -n '/^#/p' constraints.txt; .venv-latest/bin/python -m pip freeze --all --exclude-editable --exclude setuptools; } \
		> constraints.new && mv constraints.new constraints.txt

clean: ## remove environments, builds and caches
	rm -rf .venv .venv-latest .venv-oldest build dist site htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache

$(VENV)/.made: $(CONSTRAINTS)
	@test -n "$(PYTHON)$(UV)" || { echo "craft-events needs Python 3.11, 3.12 or 3.13, and none was found:" \
		"install one, or uv, which fetches it (or make PYTHON=/path/to/python)" >&2; exit 1; }
	@test -z "$(PYTHON)" || $(PYTHON) -c '$(SUITABLE)' || { \
		echo "$(PYTHON) is not CPython 3.11, 3.12 or 3.13; choose one: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -z "$(PYTHON)" || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$(PYTHON) cannot create an environment: it lacks ensurepip" >&2; \
		echo "on Debian and Ubuntu: sudo apt install python$$version-venv; or choose another: make PYTHON=/path/to/python" >&2; exit 1; }
	@rm -rf $(VENV)
	$(if $(PYTHON),$(PYTHON) -m venv,$(UV) venv --quiet --seed --python 3.13) $(VENV)
	@$(INSTALL) pip hatchling editables
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	$(PROJECT) '.[embedded]'
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml
	$(PROJECT) '.[embedded,metrics,motor,telemetry,ui]' --group test
	@touch $@

$(VENV)/.check: $(VENV)/.made pyproject.toml
	$(PROJECT) '.[embedded,metrics,motor,telemetry,ui]' --group test --group check --group bench --group docs
	@touch $@ $(VENV)/.test

$(VENV)/.bench: $(VENV)/.made pyproject.toml
	$(PROJECT) '.[embedded]' --group bench
	@touch $@
