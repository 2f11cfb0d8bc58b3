# Everything sets itself up: `make demo` and `make test` work in a fresh clone.

VENV := .venv
# An environment that has its own k2 and torch (docs/install.md): nothing is installed into it.
PYTHON_ENV ?=
BIN := $(or $(PYTHON_ENV),$(VENV))/bin
STAMP := $(if $(PYTHON_ENV),,$(VENV)/.installed)
CTCBIAS := $(BIN)/python -m ctcbias_fst
DEMO := $(VENV)/demo
DIST := .venv-dist
QUIET := --quiet --disable-pip-version-check
CLIPS := ctcbias_fst/pretrained/clips

# How many processes the fast tests are run in.
JOBS ?= 2

# How many times as many inputs `make fuzz` generates as `make slow`.
TIMES ?= 20

# The first Python that there are pinned packages for (`make PYTHON=...` names another).
PYTHON ?= $(shell for p in python3.11 python3 python python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
LOCK := requirements/py$(if $(PYTHON),$(shell \
	$(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])' 2>/dev/null)).txt

.PHONY: help setup demo test lint pytest slow fuzz mutants dist docs lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv with every package, pinned by hash

requirements/py.txt:
	@echo "Python 3.11 (or 3.10) is needed: install it, or say make PYTHON=/path/to/it" >&2; exit 1

$(VENV)/.installed: $(LOCK) pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned packages in $(VENV): some minutes, 4.5 GB"
	$(VENV)/bin/python -m pip install $(QUIET) --require-hashes -r $(LOCK)
	$(VENV)/bin/python -m pip install $(QUIET) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## Transcribe the shipped clips without a list of names and with one, side by side
	@mkdir -p $(DEMO)
	$(CTCBIAS) transcribe --format json $(wildcard $(CLIPS)/*.flac) > $(DEMO)/before.jsonl
	$(CTCBIAS) transcribe --format json --entities $(CLIPS)/names.txt $(wildcard $(CLIPS)/*.flac) \
		> $(DEMO)/after.jsonl
	$(CTCBIAS) compare $(CLIPS)/clips.jsonl $(DEMO)/before.jsonl $(DEMO)/after.jsonl \
		--entities $(CLIPS)/names.txt -o $(DEMO)/before-after.svg
	@printf '\nThe same on an hour of test speech, F1 of the names and word error rates (docs/results.md):\n\n'
	@$(CTCBIAS) figures --list 1,000

test: lint pytest ## Check style and types, then run all tests but the slow ones

lint: $(STAMP) ## Check style and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

pytest: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile

slow: $(STAMP) ## Run the slow tests
	$(BIN)/python -m pytest -m slow

fuzz: $(STAMP) ## Draw new inputs for all laws; TIMES as many as in slow for the generators (20: a million)
	$(BIN)/python -m pytest -m "hypothesis and not slow" --hypothesis-profile=fresh
	GENERATED=$(TIMES) $(BIN)/python -m pytest -m fuzz -s

mutants: $(STAMP) ## Make faults in a copy of the code, one at a time: does a fast test see each?
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants.py

dist: ## Build sdist and wheel, check them, run the demo from the wheel in an empty environment
	rm -rf dist $(DIST)
	$(PYTHON) -m venv $(DIST)/tools
	$(DIST)/tools/bin/python -m pip install $(QUIET) build==1.6.1 twine==7.0.0
	$(DIST)/tools/bin/python -m build
	$(DIST)/tools/bin/python -m twine check --strict dist/*
	$(PYTHON) -m venv $(DIST)/empty
	grep -oE '^[a-z0-9._-]+==[^ ]+' $(LOCK) > $(DIST)/pins.txt
	$(DIST)/empty/bin/python -m pip install $(QUIET) --no-deps -r requirements/k2.txt
	$(DIST)/empty/bin/python -m pip install $(QUIET) -c $(DIST)/pins.txt dist/*.whl
	$(DIST)/empty/bin/python -m pip check
	cd $(DIST) && empty/bin/ctcbias doctor
	$(MAKE) demo PYTHON_ENV=$(DIST)/empty CTCBIAS=$(CURDIR)/$(DIST)/empty/bin/ctcbias DEMO=$(DIST)

docs: ## Build the documentation's site in .site; a broken link is an error
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install $(QUIET) -r docs/_site/requirements.txt
	.venv-docs/bin/python -m mkdocs build

lock: ## Resolve the pinned packages anew (requirements/README.md)
	test -x .venv-lock/bin/python || $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install $(QUIET) pip-tools==7.6.2
	.venv-lock/bin/python requirements/lock.py

clean: ## Remove what setup and tools made
	rm -rf $(VENV) .venv-lock .venv-docs .site $(DIST) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
