# Targets for people; `make` lists them. All but gpu-check use .venv, which is made from the lock files if it is missing
# or outdated.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= all
INSTALLER ?= uv
# The last choice is kept for later installs: see envs/install.sh.
TORCH ?= $(or $(shell cat .venv/.installed 2>/dev/null),locked)
# Number of test processes: one more than cores, since tests of clusters and of stopped runs mostly wait.
TESTERS := $(shell echo $$(($(if $(filter all,$(CORES)),$(shell nproc),$(CORES)) + 1)))
PYTEST_FLAGS ?=
LOCK_FLAGS ?=
GPU_CHECK ?=

INSTALLED := .venv/.installed
ACTIVATE := export PATH="$(CURDIR)/.venv/bin:$$PATH";
REPORT := results/demo/report/index.html

.PHONY: help install demo small test lint lint-style lint-types lint-rules format bench gpu-check docs lock clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo "Settings: CORES=$(CORES) PYTHON=$(PYTHON) INSTALLER=uv|pip TORCH=locked|cpu|installed (see envs/install.sh)"

install: $(INSTALLED) ## make .venv with everything, such as the command .venv/bin/reprior

demo: $(INSTALLED) ## install, run the whole demo, say where the report is
	@$(ACTIVATE) snakemake --cores $(CORES) --config scale=demo
	@echo "The report: $(REPORT)"

small: $(INSTALLED) ## install, run the studies on real images (downloads 20 MB, under an hour each)
	@$(ACTIVATE) snakemake --cores $(CORES) --config scale=small
	@echo "The report: results/small/report/index.html"

test: lint ## install, lint, run every test
	@$(ACTIVATE) OMP_NUM_THREADS=1 pytest -n $(TESTERS) --no-loadscope-reorder $(PYTEST_FLAGS)

lint: $(INSTALLED) ## check style, types and rules
	@$(MAKE) --no-print-directory -j 2 --output-sync=target lint-style lint-types lint-rules

lint-style:
	@$(ACTIVATE) ruff check .
	@$(ACTIVATE) ruff format --check .

lint-types:
	@$(ACTIVATE) mypy

lint-rules:
	@$(ACTIVATE) snakefmt --check Snakefile workflow
	@$(ACTIVATE) snakemake --lint

format: $(INSTALLED) ## rewrite code and rules in the house style
	@$(ACTIVATE) ruff check --fix .
	@$(ACTIVATE) ruff format .
	@$(ACTIVATE) snakefmt Snakefile workflow

bench: $(INSTALLED) ## measure how near each method is to the limit of this machine, at 64 pixels
	@$(ACTIVATE) python benchmarks/limits.py --sizes 64 --print

# Installs nothing: a machine with a GPU may have its own torch.
gpu-check: ## what only a GPU can tell, in ten minutes (docs/gpu.md)
	@$(or $(wildcard .venv/bin/python),$(PYTHON)) benchmarks/gpu_check $(GPU_CHECK)

docs: $(INSTALLED) ## build the documentation as a site: site/index.html
	@$(ACTIVATE) NO_MKDOCS_2_WARNING=1 mkdocs build --quiet
	@echo "The documentation: site/index.html"

lock: $(INSTALLED) ## remake the lock files (newest versions: LOCK_FLAGS=--upgrade)
	@envs/lock.sh $(LOCK_FLAGS)

# Results of other scales may have cost weeks of GPU time. Remove them by hand.
clean: ## remove the demo's results
	rm -rf results/demo

distclean: clean ## remove .venv and the tools' caches too
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info

$(INSTALLED): envs/install.sh envs/requirements.lock envs/installer.lock pyproject.toml
	@PYTHON="$(PYTHON)" INSTALLER="$(INSTALLER)" TORCH="$(TORCH)" envs/install.sh
