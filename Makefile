# Everything a developer does here. Each target sets up what it needs; stamp files keep it from being done twice.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# A version manager's shim may stand on the PATH and fail when called, so being found is not enough.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(CURDIR)/.uv/bin/uv)
export UV
# One folder per project and none inherited: an activated environment elsewhere is not this one.
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV
# Compiled modules are kept: without them every synth compiles the CDK anew, for 5 s.
export PYTHONDONTWRITEBYTECODE :=

PYTHON := .venv/bin/python
CDK := infra/node_modules/.bin/cdk
VENDOR ?= visier
ENV ?= dev
ARGS ?=
QUICK ?=

PROJECT := .venv/.made
LOCALSTACK := .venv-localstack/.made
RUNTIME := .venv-lambda/.made
NODE := infra/node_modules/.made
LAYER := build/.made

# $(call step,what,command) says what was done and how long it took; the command's own words only if it fails.
# Without a comma in either, which would end the argument.
define step
@begun=$$SECONDS; if said=$$({ $(2); } 2>&1); then printf '%-60s %3d s\n' '$(1)' "$$((SECONDS - begun))"; \
else printf '%-60s failed\n%s\n' '$(1)' "$$said" >&2; exit 1; fi
endef

.PHONY: help
help: ## This list
	@echo 'make TARGET, where TARGET is'
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name says; do \
	printf '  %-9s %s\n' "$$name" "$$says"; done

.PHONY: setup
setup: ## Environments, CDK command line and Lambda layers: all that the other targets need
	@$(MAKE) -s -j3 $(PROJECT) $(LOCALSTACK) $(RUNTIME) $(NODE)
	@$(MAKE) -s $(LAYER)

.PHONY: check
check: $(PROJECT) ## Linters, types, and which room may import which
	$(call step,ruff check,.venv/bin/ruff check --quiet .)
	$(call step,ruff format --check,.venv/bin/ruff format --check --quiet .)
	$(call step,mypy,.venv/bin/mypy)
	$(call step,import contracts,.venv/bin/lint-imports)

.PHONY: test
test: setup check ## check, then every test; ARGS='tests/unit -k ledger' for some of them
	@.venv/bin/pytest $(ARGS)

.PHONY: demo
demo: setup ## Two exports of VENDOR (visier) on this machine, from trigger to landed files
	@$(PYTHON) -m infra.local.demo $(VENDOR)

.PHONY: bench
bench: $(PROJECT) $(RUNTIME) $(LAYER) ## What moves bytes, against other tools (half an hour); QUICK=1 for the main ratios
	@$(PYTHON) -m tests.bench $(if $(QUICK),--quick) $(ARGS)

.PHONY: up
up: setup ## The local system, to explore: prints the environment variables to use
	@$(PYTHON) -m infra.local up

.PHONY: down
down: $(PROJECT) ## Stop what `make up` started
	@$(PYTHON) -m infra.local down

.PHONY: deploy
deploy: $(PROJECT) $(NODE) $(LAYER) ## Deploy environment ENV (dev) to the account that the AWS environment names
	@HAUL_ENV=$(ENV) $(CDK) deploy --app '$(PYTHON) -m infra.app' Haul-$(ENV) $(ARGS)

.PHONY: schemas
schemas: $(PROJECT) ## Write the JSON Schemas anew from the models
	@$(PYTHON) -m haul.models.schemas && $(PYTHON) -m infra.environment

.PHONY: layer
layer: $(LAYER) ## The functions' dependencies, as Lambda takes them

.PHONY: clean
clean: ## Remove everything that the other targets made
	@if [ -e .localstack ] && [ -e $(PYTHON) ]; then $(PYTHON) -m infra.local down; fi
	@rm -rf .venv .venv-localstack .venv-lambda .uv .localstack build dist cdk.out infra/node_modules \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(CURDIR)/.uv/bin/uv:
	@for python in python3.13 python3 /usr/bin/python3; do "$$python" -m venv .uv >/dev/null 2>&1 && exit; done; \
	echo "Haul needs Python 3 with its venv module, or uv: https://docs.astral.sh/uv/" >&2; exit 1
	$(call step,.uv: uv itself,.uv/bin/python -m pip install --quiet --disable-pip-version-check uv)

$(PROJECT): pyproject.toml uv.lock .python-version | $(filter /%,$(UV))
	$(call step,.venv: the project, $(UV) sync --locked --all-extras && touch $@)

$(LOCALSTACK): infra/local/requirements-localstack.txt infra/local/plugins/pyproject.toml | $(filter /%,$(UV))
	$(call step,.venv-localstack: LocalStack and our plugins, \
	$(UV) venv --clear --python 3.13 .venv-localstack && \
	$(UV) pip sync --python .venv-localstack $< && \
	$(UV) pip install --python .venv-localstack --no-deps --editable infra/local/plugins)
	$(call step,.venv-localstack: its catalog of AWS services, cd .venv-localstack && \
	OVERRIDE_IN_DOCKER=0 CONFIG_DIR=. FILESYSTEM_ROOT=filesystem bin/python -c \
	"from localstack import config; from localstack.aws import spec; config.dirs.mkdirs(); spec.main()" && touch .made)

$(RUNTIME): infra/local/requirements-lambda.txt | $(filter /%,$(UV))
	$(call step,.venv-lambda: what the Lambda runtime offers, \
	$(UV) venv --clear --python 3.13 .venv-lambda && \
	$(UV) pip sync --compile-bytecode --python .venv-lambda $< && touch $@)

$(NODE): infra/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || \
	{ echo "Haul needs Node.js 20 or newer and npm, for the CDK command line: https://nodejs.org/" >&2; exit 1; }
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || \
	{ echo "Haul needs Node.js 20 or newer, this is $$(node --version): https://nodejs.org/" >&2; exit 1; }
	$(call step,infra/node_modules: the CDK command line, \
	npm ci --prefix infra --no-audit --no-fund --loglevel=error && touch $@)

$(LAYER): uv.lock pyproject.toml infra/layer.py infra/bytecode.py | $(PROJECT)
	$(call step,build: the Lambda layers, $(PYTHON) -m infra.layer && touch $@)
