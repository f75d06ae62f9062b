# Everything starts here. `make` needs python3 (3.11 or newer) and itself; it brings the rest.

PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/groundswell
UV := $(or $(shell command -v uv 2>/dev/null),$(CACHE)/uv/bin/uv)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
STACK := $(BIN)/python -m groundswell.native
PYTEST := $(BIN)/pytest -q -n 2 --dist loadfile
MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml deploy/native/pyproject.toml))
LANGUAGE_MODEL := $(or $(GROUNDSWELL_MODEL),qwen2.5-0.5b)

export GROUNDSWELL_UV := $(UV)
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help demo test check connected e2e bench soak up down reset doctor status scale restart logs lock generate provide
.SILENT:

help: ## list what can be made
	echo "Groundswell. Two commands do everything: make demo, make test."
	grep -hE '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: up ## set up everything, ask a question about real documents, leave the stack running
	$(STACK) demo

test: check connected e2e ## every test: check, then against real components, then the whole stack

check: $(READY) ## format, lint, types, import contracts, generated files, unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy conftest.py libs services deploy tests
	$(BIN)/lint-imports
	$(BIN)/python -m groundswell.common.generate --check
	$(PYTEST) -m "not connected and not e2e and not models and not soak"

connected: $(READY)
	$(STACK) provide --model minilm --model smollm2-135m
	$(PYTEST) -m "connected or models"

e2e: $(READY)
	$(STACK) provide --model minilm
	$(BIN)/pytest -q -m e2e

bench: $(READY) ## measure a stack of its own, rewrite docs/bench; FIRST=1: the first demo too, from empty caches
	$(BIN)/python tests/e2e/bench/run.py $(if $(FIRST),--first)

soak: $(READY) ## break a stack of its own under load, 50 minutes for each round: make soak SEED=n ROUNDS=n
	$(STACK) provide --model minilm
	SOAK_SEED=$(SEED) SOAK_ROUNDS=$(ROUNDS) $(BIN)/pytest -v -m soak tests/e2e/soak tests/e2e/soak_bus

provide: $(READY)
	$(STACK) provide

up: provide ## start the stack and wait until it is ready
	$(STACK) up

down: $(READY) ## stop the stack, keep its state
	$(STACK) down

reset: $(READY) ## stop the stack and delete its state
	$(STACK) reset

status: $(READY) ## every process, and what it waits for
	$(STACK) status

scale: $(READY) ## run N processes of a service: make scale SERVICE=generator N=2
	$(if $(and $(SERVICE),$(N)),,$(error say which and how many: make scale SERVICE=generator N=2))
	$(STACK) scale "$(SERVICE)" "$(N)"

restart: $(READY) ## drain and start a service again: make restart SERVICE=generator
	$(if $(SERVICE),,$(error say which: make restart SERVICE=generator))
	$(STACK) restart "$(SERVICE)"

logs: $(READY) ## follow the log of a service: make logs SERVICE=generator
	$(if $(SERVICE),,$(error say which: make logs SERVICE=generator))
	$(STACK) logs "$(SERVICE)"

doctor: ## what this machine lacks, before anything heavy starts
	$(PYTHON) deploy/native/src/groundswell/native/doctor.py

generate: $(READY) ## rewrite generated files
	$(BIN)/python -m groundswell.common.generate

lock: $(UV) ## resolve the locked requirements again
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --quiet \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    $(foreach member,$(MEMBERS),--no-emit-package groundswell-$(notdir $(member))) -o requirements.lock
	! grep -n "://" requirements.lock

# uv, where the machine has none: a pinned wheel, verified by its hash
$(CACHE)/uv/bin/uv: deploy/native/uv.requirements
	$(PYTHON) deploy/native/src/groundswell/native/doctor.py --quiet
	rm -rf "$(CACHE)/uv.part" && mkdir -p "$(CACHE)"
	echo "Fetching uv"
	$(PYTHON) -m venv "$(CACHE)/uv.part"
	"$(CACHE)/uv.part/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	rm -rf "$(CACHE)/uv" && mv "$(CACHE)/uv.part" "$(CACHE)/uv" && touch $@

# the environment: exactly what the lock names, and the workspace's own packages as they lie here
$(READY): requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS)) | $(UV)
	$(PYTHON) deploy/native/src/groundswell/native/doctor.py --quiet
	echo "Preparing the environment (5 GB on the disk, most of it downloaded the first time; wheels are cached)"
	test -x $(BIN)/python || $(UV) venv --quiet --no-project --python "$$(command -v $(PYTHON))" $(VENV)
	VIRTUAL_ENV=$(VENV) $(UV) pip install --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation $(addprefix --editable ./,$(MEMBERS))
	touch $@
