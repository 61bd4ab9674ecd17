# `make serve` runs the server and `make test` the tests; both set up all they need, once.
# Settings go in as HOCKET_* variables, flags as ARGS, the Python as PYTHON:
#   HOCKET_PORT=9000 make serve        make test ARGS="-k rooms"        make serve PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
DEV_VENV := .venv-dev
BENCH_VENV := .venv-bench
FUZZ_VENV := .venv-fuzz
LOCK_VENV := .venv-lock
TESTS := tests
JOBS := $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1) + 1)
NODE_TESTS := tests/node

RUNTIME := requirements/runtime.lock requirements/build.lock
DEV := requirements/dev.lock
FUZZ := $(RUNTIME) requirements/fuzz.lock
LOCK := requirements/lock.lock
BENCH := $(RUNTIME) requirements/bench.lock

# --- The set-ups: <venv>/.ready-<checksum>, so a changed lock sets up anew and one broken off starts over ---

# $(call ready,venv,locks): the stamp; the checksum covers the locks, what the package declares, the Python
# asked for and this folder (a venv cannot be moved). A venv whose Python is gone is not ready.
ready = $(1)/.ready-$(shell test -x $(1)/bin/python || rm -f $(1)/.ready-*; \
	{ echo '$(PYTHON) $(CURDIR)'; cat $(2); sed '/^\[tool/,$$d' pyproject.toml; } | cksum | tr ' ' '-')

# The Python asked for, or else the first on PATH that will do: "ok PATH", or a line that says what is missing.
choose_python = for p in $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.14 python3.13 python3.12 python3.11); do \
	"$$p" -c 'import sys; sys.version_info < (3, 11) and sys.exit(3); import venv; from ensurepip import version' 2>/dev/null; \
	case $$? in 0) echo "ok $$p"; exit;; 3) old=$${old:-$$p};; 1) bare=$${bare:-$$p};; esac; done; \
	case $${bare\#\#*/} in python3.*) package=$${bare\#\#*/}-venv;; *) package=python3-venv;; esac; \
	if [ "$$bare" ]; then echo "$$bare cannot make a virtual environment: install $$package (Debian, Ubuntu: sudo apt-get install $$package)"; \
	elif [ "$$old" ]; then echo "Hocket needs Python 3.11 or newer and $$old is $$("$$old" -V 2>&1): install a newer one, or name it, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	else echo "Hocket needs Python 3.11 or newer and there is no $(PYTHON): install it, or name one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; fi
checked = $(if $(filter ok,$(firstword $(1))),$(wordlist 2,99,$(1)),$(error $(1)))
base_python = $(call checked,$(shell $(choose_python)))

PIP := -m pip --quiet --disable-pip-version-check --no-input

# $(call set_up,venv,locks): a venv with the packages pinned, each checked by its hash.
define set_up
@"$(base_python)" -c 'import platform; print("Setting up $(1) with Python", platform.python_version(), "(once) ...", flush=True)'
@"$(base_python)" -m venv --clear $(1)
@$(1)/bin/python $(PIP) install --require-hashes $(addprefix -r ,$(2)) || { \
	echo 'make: the packages pinned in $(2) could not be installed (see above); is the network reachable?' >&2; exit 2; }
endef

# $(call set_up_hocket,venv,locks): the same and Hocket itself, as it stands in src/. Compiled, because Python
# may be told not to keep bytecode, and then each start takes 60 ms more.
define set_up_hocket
$(set_up)
@$(1)/bin/python $(PIP) install --no-deps --no-build-isolation --editable .
@$(1)/bin/python -m compileall -q --invalidation-mode checked-hash src
@touch $@
endef

VENV_READY := $(call ready,$(VENV),$(RUNTIME))
DEV_READY := $(call ready,$(DEV_VENV),$(DEV))
BENCH_READY := $(call ready,$(BENCH_VENV),$(BENCH))
FUZZ_READY := $(call ready,$(FUZZ_VENV),$(FUZZ))
LOCK_READY := $(call ready,$(LOCK_VENV),$(LOCK))
NODE_READY := $(NODE_TESTS)/node_modules/.ready-$(shell cksum < $(NODE_TESTS)/package-lock.json | tr ' ' '-')

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

serve: $(VENV_READY)  ## Run the chat and notification server (flags: ARGS="--port 9000")
	@exec $(VENV)/bin/hocket serve $(ARGS)

test: $(DEV_READY) $(if $(shell command -v npm),$(NODE_READY))  ## Run every test (some: TESTS=tests/unit, ARGS="-k rooms"; one after the other: JOBS=0)
	@exec $(DEV_VENV)/bin/pytest -n $(JOBS) --dist worksteal $(TESTS) $(ARGS)

check: $(DEV_READY)  ## Lint, formatting, types and the import order
	$(DEV_VENV)/bin/ruff check --quiet
	$(DEV_VENV)/bin/ruff format --check --quiet
	$(DEV_VENV)/bin/mypy
	$(DEV_VENV)/bin/pytest -q -s tests/unit/test_imports.py

format: $(DEV_READY)  ## Format the code and mend what the linter can
	$(DEV_VENV)/bin/ruff check --fix --quiet || true
	$(DEV_VENV)/bin/ruff format

fuzz: $(FUZZ_READY)  ## Fuzz the parsers for long (Linux; flags in ARGS)
	@exec $(FUZZ_VENV)/bin/python -m fuzz.run $(ARGS)

autobahn: $(DEV_READY)  ## Run the Autobahn WebSocket suite
	@exec $(DEV_VENV)/bin/python conformance/autobahn.py $(ARGS)

suites: $(DEV_READY)  ## Run the official Engine.IO and Socket.IO suites
	@exec $(DEV_VENV)/bin/python conformance/suites.py $(ARGS)

docs: $(DEV_READY)  ## Write the pages that are made from the code
	@exec $(DEV_VENV)/bin/python docs/make.py

bench: $(BENCH_READY)  ## Run the benchmarks (which: ARGS="broadcast echo", see ARGS=--help)
	@$(BENCH_VENV)/bin/python -m compileall -q --invalidation-mode checked-hash src
	@exec $(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

campaign: $(DEV_READY)  ## Kill, reload and wear out a server for long (ARGS="kill --minutes 5")
	@exec $(DEV_VENV)/bin/python -m campaigns $(ARGS)

lock: $(LOCK_READY)  ## Pin the dependencies of pyproject.toml again (newer versions: ARGS=--upgrade)
	@for target in runtime build dev bench fuzz lock; do \
		case $$target in runtime) what='pyproject.toml --all-extras';; dev) what='pyproject.toml --all-extras --group dev';; *) what="--group $$target";; esac; \
		$(LOCK_VENV)/bin/uv pip compile $$what --quiet --universal --python-version 3.11 --generate-hashes --no-config --system-certs \
			--no-emit-index-url --no-annotate --custom-compile-command 'make lock' \
			--output-file requirements/$$target.lock $(ARGS) || exit; done

clean:  ## Remove everything that was set up or built
	rm -rf .venv* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist $(NODE_TESTS)/node_modules
	find src tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV_READY):
	$(call set_up_hocket,$(VENV),$(RUNTIME))

$(DEV_READY):
	$(call set_up_hocket,$(DEV_VENV),$(DEV))

$(BENCH_READY):
	$(call set_up_hocket,$(BENCH_VENV),$(BENCH))

$(FUZZ_READY):
	$(call set_up_hocket,$(FUZZ_VENV),$(FUZZ))

$(LOCK_READY):
	$(call set_up,$(LOCK_VENV),$(LOCK))
	@touch $@

# Without Node's packages the tests that need them are skipped, and say so.
$(NODE_READY):
	@echo 'Setting up $(NODE_TESTS) (once) ...'
	@cd $(NODE_TESTS) && npm ci --silent && touch node_modules/$(@F) || \
		echo 'npm ci failed: the tests that need the JavaScript client will be skipped'

.PHONY: help serve test check format fuzz autobahn suites docs bench campaign lock clean
