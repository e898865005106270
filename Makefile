# Everything here sets itself up: `make test` works in a fresh clone.

PYTHON ?= python3
PORT ?= 8000
RUNS ?= 20000
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo talk screenshot cluster test explore lint format types docs bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    serve the example with Daphne (PORT=$(PORT); with REDIS_URL, over Redis)"
	@echo "make talk    talk to it, in another terminal"
	@echo "make screenshot  take the pictures of the demo page; needs Chromium"
	@echo "make cluster serve it with two servers behind nginx, and Redis (PORT=$(PORT))"
	@echo "make test    run the tests, which must cover everything (ARGS=... for pytest)"
	@echo "make explore hold random connections against the protocol, others each time (RUNS=$(RUNS))"
	@echo "make lint    check the code's style"
	@echo "make format  format the code"
	@echo "make types   check the types"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make bench   run the benchmarks"
	@echo "make clean   remove what these make"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# .venv/test stands for the extra `test`, and so on. setup.cfg says what is in them.
$(VENV)/test $(VENV)/docs $(VENV)/dev: setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$(@F)]"
	@touch $@

$(VENV)/cluster: setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[redis]" uvicorn websockets
	@touch $@

$(VENV)/demo: setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[daphne,client,redis]"
	@touch $@

demo: $(VENV)/demo
	@$(BIN)/python example/manage.py migrate --verbosity 0
	@echo
	@echo "  The demo is at http://127.0.0.1:$(PORT)/: open it in two windows."
	@echo "  To talk to the example's consumers without a browser, in another terminal:"
	@echo
	@echo "      make talk PORT=$(PORT)"
	@echo
	@cd example && exec ../$(BIN)/python -m daphne -b 127.0.0.1 -p $(PORT) mysite.asgi:application

talk: $(VENV)/demo
	@$(BIN)/python example/talk.py --url ws://127.0.0.1:$(PORT)

screenshot: $(VENV)/dev
	$(BIN)/python example/screenshot.py

cluster: $(VENV)/cluster
	@exec $(BIN)/python example/cluster.py --port $(PORT)

# The report is shown where something isn't covered; otherwise pytest has the last word.
test: $(VENV)/test
	$(BIN)/python -m coverage run -m pytest $(ARGS)
	@$(BIN)/python -m coverage report >$(VENV)/coverage.txt || { cat $(VENV)/coverage.txt; exit 1; }

# As many random connections as RUNS says, from a seed that nobody has chosen.
explore: $(VENV)/test
	LIFECYCLE_RUNS=$(RUNS) LIFECYCLE_SEED=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') \
		$(BIN)/python -m pytest tests/test_lifecycle.py -k random

lint: $(VENV)/dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: $(VENV)/dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# A project that subclasses our classes is checked as on a user's machine: with the package
# installed, and the stubs for Channels, which our own code is not written for.
types: $(VENV)/dev $(VENV)/typed/stamp
	$(BIN)/python -m mypy
	$(VENV)/typed/bin/python -m pip install --quiet --no-deps --force-reinstall .
	cd tests/typed_project && $(abspath $(VENV))/typed/bin/mypy
	cd tests/typed_project && $(abspath $(VENV))/typed/bin/pyright \
		--pythonpath $(abspath $(VENV))/typed/bin/python

$(VENV)/typed/stamp: setup.cfg | $(BIN)/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet ".[typed]"
	@touch $@

docs: $(VENV)/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks --docs docs/_static $(ARGS)

clean:
	rm -rf $(VENV) .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .tox
	rm -rf build dist docs/_build tests/js/node_modules *.egg-info *.sqlite3* example/*.sqlite3*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
