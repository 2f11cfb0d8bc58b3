# Everything sets itself up: `make demo` and `make test` work in a fresh clone.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLIPS := ctcbias_fst/pretrained/clips

# The first Python that there are pinned packages for (`make PYTHON=...` names another).
PYTHON ?= $(shell for p in python3.11 python3 python python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
LOCK := requirements/py$(if $(PYTHON),$(shell \
	$(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])' 2>/dev/null)).txt

.PHONY: help setup demo test lint pytest slow lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with every package, pinned by hash

requirements/py.txt:
	@echo "Python 3.11 (or 3.10) is needed: install it, or say make PYTHON=/path/to/it" >&2; exit 1

$(STAMP): $(LOCK) pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned packages in $(VENV): some minutes, 4.5 GB"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## Transcribe the shipped clips without a list of names and with one, side by side
	@mkdir -p $(VENV)/demo
	$(BIN)/ctcbias transcribe --format json $(wildcard $(CLIPS)/*.flac) > $(VENV)/demo/before.jsonl
	$(BIN)/ctcbias transcribe --format json --entities $(CLIPS)/names.txt $(wildcard $(CLIPS)/*.flac) \
		> $(VENV)/demo/after.jsonl
	$(BIN)/ctcbias compare $(CLIPS)/clips.jsonl $(VENV)/demo/before.jsonl $(VENV)/demo/after.jsonl \
		--entities $(CLIPS)/names.txt -o $(VENV)/demo/before-after.svg
	@printf '\nThe same on an hour of test speech, F1 of the names and word error rates (docs/results.md):\n\n'
	@$(BIN)/ctcbias figures --list 1,000

test: lint pytest ## Check style and types, then run all tests but the slow ones

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pytest: $(STAMP)
	$(BIN)/pytest -m "not slow"

slow: $(STAMP) ## Run the slow tests
	$(BIN)/pytest -m slow

lock: ## Resolve the pinned packages anew (requirements/README.md)
	test -x .venv-lock/bin/python || $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	.venv-lock/bin/python requirements/lock.py

clean: ## Remove what setup and tools made
	rm -rf $(VENV) .venv-lock .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
