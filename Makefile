# Everything is installed into .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

# These tests alone have to reach the coverage; tracing lines makes a test two to three times as long.
# Of the server those that are about what it alone asks of policies.
COUNTED := tests/unit/policies tests/unit/ledger tests/vectors \
	tests/property/test_policies_cedar.py tests/property/test_ledger_merkle.py \
	$(patsubst %,tests/unit/server/test_server_%.py,duties reservations rotation vouchers)
# One more than there are processors, since many tests wait; the longest files first: tests/conftest.py.
WORKERS := -n $(shell n=$$(($$(nproc) + 1)); echo $$((n < 4 ? n : 4))) --no-loadscope-reorder

# Many processes import the same modules; where this is set, each compiles them anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check bench proto clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/demo ## install, then run the whole story on this machine: seven hospitals, three refused, one withdraws
	@$(BIN)/tds demo

test: $(VENV)/dev ## install, then run all tests; policies and ledger need 95 % branch coverage
	$(BIN)/python -m pytest $(COUNTED) $(WORKERS) --dist loadfile --cov --cov-report=term --cov-fail-under=95
	$(BIN)/python -m pytest --ignore=tests/integration $(COUNTED:%=--ignore=%) $(WORKERS) --dist loadfile
	$(BIN)/python -m pytest tests/integration -n 3 --no-loadscope-reorder --dist loadfile

check: $(VENV)/dev ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench ## measure decisions beside other engines, rounds and secure sums beside stock Flower (ten minutes)
	$(BIN)/python bench/policy.py
	$(BIN)/python bench/budget.py
	$(BIN)/python bench/round_latency.py
	$(BIN)/python bench/ledger.py
	$(BIN)/python bench/replay_log.py
	$(BIN)/python bench/node.py
	$(BIN)/python bench/secagg.py
	$(BIN)/python bench/robust.py

proto: $(VENV)/dev ## generate the gRPC code from policies/governance.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. policies/governance.proto

clean: ## remove the environment, caches and demo results
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage tds-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes first and alone: asked for loosely, it brings gigabytes of CUDA.
$(VENV)/base: constraints.txt
	@echo "installing into $(VENV) (about a minute) ..."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt "torch==2.13.0"
	@touch $@

$(VENV)/demo: $(VENV)/base pyproject.toml
	$(PIP) install -c constraints.txt -e ".[demo]"
	@touch $@

$(VENV)/dev: $(VENV)/base pyproject.toml
	$(PIP) install -c constraints.txt -e ".[demo,dev]"
	@touch $@ $(VENV)/demo

$(VENV)/bench: $(VENV)/dev
	$(PIP) install -c constraints.txt -e ".[demo,dev,bench]"
	@touch $@

$(VENV)/browser: $(VENV)/dev
	$(PIP) install -c constraints.txt -e ".[demo,dev,browser]"
	@touch $@
