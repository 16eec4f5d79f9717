# `make` alone lists what can be made. Each target sets up what it needs first.

PORT ?= 5000
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
NODE = tests/node/node_modules
BUNDLE = static/bundle/app.js
SOURCES = $(shell find static -path static/bundle -prune -o -name '*.js' -print -o -name '*.css' -print)
# Two more than there are processors: tests wait as well.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN || echo 2) + 2)

.DEFAULT_GOAL = help
.PHONY: help run test test-all checks lint format screenshot icons reference docs setup setup-dev page node lock clean

# A line "target: ... ## sentence" is listed.
help: ## List these targets.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

run: setup page ## Set everything up, and serve the API (another port: PORT=5001).
	@echo "==> Making the database, or bringing it up to date"
	@$(BIN)/python -c "from database import init_db; init_db()"
	@echo "==> Serving http://localhost:$(PORT) (Ctrl-C ends it)"
	@$(BIN)/flask run --port $(PORT)

# A hundred processes are started, so byte code is kept whatever the environment says about it.
PYTEST = PYTHONDONTWRITEBYTECODE= FLASK_SKIP_DOTENV=1 $(BIN)/python -m pytest
PARALLEL = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What takes seconds is left to test-all, which is what CI runs.
test: ## Check everything but the slow tests; T=<file or file::test> runs one file or test.
ifneq ($(T),)
test: setup-dev node
	@$(PYTEST) -n 0 "$(T)"
else ifneq ($(CI),)
test: test-all
else
test: checks
	@echo "==> Tests but the slow ones, with $(WORKERS) at a time"
	@$(PYTEST) $(PARALLEL) -m "not slow"
endif

test-all: checks ## Check everything, the slow tests too.
	@echo "==> Tests, with $(WORKERS) at a time"
	@status=0; $(PYTEST) $(PARALLEL) -m "not abuse" || status=$$?; \
		echo "==> Abuse, one test after the other"; \
		$(PYTEST) -n 0 -m abuse || status=$$?; exit $$status

lint: setup-dev ## Check format, lint and types, and change nothing.
	@echo "==> Formatting, lint and types"
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .

format: setup-dev ## Format the code, and mend what the linter can mend safely.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

checks: lint node
	@echo "==> Migrations match the models"
	@INSTANCE_PATH="$$(mktemp -d)" sh -c 'FLASK_SKIP_DOTENV=1 $(BIN)/python -c "from database import init_db; init_db()" && FLASK_SKIP_DOTENV=1 $(BIN)/flask db check; status=$$?; rm -rf "$$INSTANCE_PATH"; exit $$status'

# Needs Chromium, fonts-noto-core and fonts-noto-color-emoji.
screenshot: setup-dev node ## Make docs/screenshot.png anew.
	@$(BIN)/python docs/screenshot.py

docs: setup-dev ## Build the site of docs/ into site/; a warning is an error.
	@$(BIN)/python docs/build.py
	@echo "==> Open site/index.html"

reference: setup-dev ## Make docs/api.md and docs/pictures/ anew, from the code.
	@$(BIN)/python docs/draw.py
	@$(BIN)/python docs/reference.py

# Needs Chromium.
icons: setup-dev ## Make the icons of the page anew, from static/icon.svg.
	@$(BIN)/python docs/icons.py

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@echo "==> Making the virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name it: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "The venv module is missing. On Debian: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/.installed: requirements.txt constraints.txt | $(BIN)/python
	@echo "==> Installing what the API needs"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "==> Installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# For the chat page. Without npm it checks for new messages every few seconds, and its modules are
# sent one by one.
page:
	@if command -v npm >/dev/null; then $(MAKE) --silent node_modules/.installed $(BUNDLE) \
		|| echo "==> npm could not make the chat page live, or quick to load: it works without"; \
	else echo "==> npm is missing: the chat page works without live connection (Debian: nodejs npm)"; fi

node_modules/.installed: package.json package-lock.json
	@echo "==> Installing pusher-js and esbuild for the chat page"
	@npm ci --loglevel=error
	@touch $@

# The modules of the page as one file, and its style sheets as another. As soon as a source is newer,
# the sources are served.
$(BUNDLE): $(SOURCES) node_modules/.installed
	@echo "==> Bundling the chat page"
	@npm run --silent bundle

# Clients and servers for the tests. Without Node the tests that need it are skipped, and say so.
node: page
	@if command -v npm >/dev/null; then $(MAKE) --silent $(NODE)/.installed; \
	else echo "==> Tests with pusher-js and soketi are skipped"; fi

# npm 9, which Debian has, fails on overrides of what comes from git; a later one runs on its Node.
$(NODE)/.installed: tests/node/package.json tests/node/package-lock.json
	@echo "==> Installing soketi, axe and more for the tests"
	@cd tests/node; case "$$(npm --version)" in \
		[1-9].*) npx --yes npm@10.9.4 ci --loglevel=error ;; \
		*) npm ci --loglevel=error ;; esac
	@touch $@

# From the exact versions in requirements*.txt. Needs uv.
lock: ## Make constraints.txt anew.
	@grep -v '^-c' requirements.txt > .requirements.in
	@sed 's/^-r .*/-r .requirements.in/' requirements-dev.txt > .requirements-dev.in
	@uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate \
		--no-header --no-strip-extras .requirements-dev.in | sed 's/\[[a-z,]*\]//' > constraints.txt
	@rm -f .requirements.in .requirements-dev.in

clean: ## Remove what was installed, and all caches.
	rm -rf $(VENV) node_modules static/bundle $(NODE) .mypy_cache .ruff_cache .pytest_cache .hypothesis
