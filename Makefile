# Every target first installs what it needs into a virtual environment in .venv. Nothing outside the checkout is changed.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11 python,$(shell \
	command -v $(python) >/dev/null 2>&1 && $(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))))
ARGS ?=
PYTEST_ARGS ?=

# A test run starts some hundred processes, and pytest rewrites each test module: neither is compiled more than once.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help chat test coverage lint format typecheck docs screenshots wheel bench bench-quick clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

chat: $(VENV)/.chat ## Chat in the terminal, no key needed; make chat ARGS="-b redis"
	@$(BIN)/swarmchat chat $(ARGS)

test: $(VENV)/.dev ## Run all tests, with a real Redis
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

coverage: $(VENV)/.dev ## Run all tests and list the lines that none of them runs
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.dev ## Check types
	$(BIN)/mypy

docs: $(VENV)/.dev ## Write the generated parts of the documentation
	$(BIN)/python docs/generate.py

screenshots: $(VENV)/.dev ## Take the screenshots of the documentation
	$(BIN)/python docs/screenshots.py

wheel: $(VENV)/.dev ## Build the wheel and the source distribution into dist/
	$(BIN)/python -m build

bench: $(VENV)/.bench ## Compare with other libraries, some 20 minutes, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks --write $(ARGS)

bench-quick: $(VENV)/.bench ## A short version in two minutes; make bench-quick ARGS="turns start" runs some parts
	$(BIN)/python -m benchmarks --quick $(ARGS)

clean: ## Remove everything that make made
	rm -rf $(VENV) build dist *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "swarmchat needs Python 3.11 or newer: install it, or give its path with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) cannot be used: swarmchat needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python cannot make virtual environments: install its venv module (Debian: python3-venv)" >&2; exit 1; }

$(VENV)/.chat: pyproject.toml build_backend/editable_links.py | $(BIN)/python
	@echo "Installing swarmchat into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embeddings,images]'
	@touch $@

$(VENV)/.dev: pyproject.toml build_backend/editable_links.py | $(BIN)/python
	@echo "Installing swarmchat and its test tools into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.chat

$(VENV)/.bench: pyproject.toml build_backend/editable_links.py | $(BIN)/python
	@echo "Installing swarmchat and the libraries it is compared with into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@$(BIN)/python -m compileall -q $(VENV)/lib >/dev/null || true
	@touch $@ $(VENV)/.chat $(VENV)/.dev
